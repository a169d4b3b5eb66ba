// Offers the browser's own time zone beside the choice.
const select = document.getElementById("timezone");
const offer = document.getElementById("timezone-offer");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone !== select.value && [...select.options].some((option) => option.value === zone)) {
  offer.hidden = false;
  offer.querySelector("span").textContent = zone;
  offer.addEventListener("click", () => {
    select.value = zone;
    offer.hidden = true;
    select.focus();
  });
}
