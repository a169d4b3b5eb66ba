"use strict";

const place = document.getElementById("docs");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.openapi,
  deepLinking: true,
  docExpansion: "list",
  // Otherwise it asks a validator elsewhere about the document.
  validatorUrl: null,
});
