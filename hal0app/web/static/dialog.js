/* Pages that ask first open in the dialog; focus lands on what changes nothing and returns to the opener. */
(() => {
  "use strict";
  const dialog = document.getElementById("dialog");
  let opener = null;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
      event.preventDefault();
      opener = link.id;
      htmx.ajax("GET", link.getAttribute("href"), { target: "#dialog", swap: "innerMorph" });
    } else if (dialog.open && event.target.closest("#dialog [data-keep][href], #dialog [data-close]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  new MutationObserver(() => {
    if (dialog.open || !dialog.childElementCount) return;
    dialog.showModal();
    dialog.querySelector("[data-keep]")?.focus();
  }).observe(dialog, { childList: true });
  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    document.getElementById(opener)?.focus();
  });
})();
