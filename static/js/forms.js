// A form is sent once, and a password can be looked at while it is typed. Without this file forms work all the same.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    // After this event, or the button's own value would not be sent.
    setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
  });
}

// Whoever comes back by the browser's button finds a form that works.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form button[disabled]").forEach((button) => (button.disabled = false));
});

for (const button of document.querySelectorAll("button[data-shows]")) {
  const input = document.getElementById(button.dataset.shows);
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = input.type === "password";
    input.type = isShown ? "text" : "password";
    button.setAttribute("aria-pressed", String(isShown));
  });
  input.form.addEventListener("submit", () => (input.type = "password"));
}
