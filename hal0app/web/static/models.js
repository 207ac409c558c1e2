/* The list of models is filtered by its address, so it is asked for again when the stream says that it changed. */
(() => {
  "use strict";
  const news = () => document.getElementById("model-news")?.dataset.version;
  let known = news();

  new MutationObserver(() => {
    if (known === news()) return;
    known = news();
    document.getElementById("model-list").dispatchEvent(new Event("refresh"));
  }).observe(document.getElementById("model-news").parentElement, { subtree: true, childList: true, attributeFilter: ["data-version"] });
})();
