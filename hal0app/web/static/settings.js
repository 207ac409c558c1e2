/* The settings page: what is not served over https has no clipboard, so the text to be copied is selected instead. */
(() => {
  "use strict";
  for (const copy of document.querySelectorAll("[data-copy]")) {
    const text = document.getElementById(copy.dataset.copy), said = copy.nextElementSibling;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      text.select();
      try {
        await navigator.clipboard.writeText(text.value);
        said.textContent = "Copied.";
      } catch {
        text.focus();
        said.textContent = "Press Ctrl+C.";
      }
    });
  }
})();
