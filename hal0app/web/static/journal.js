/* The journal page: new lines come unfiltered, follow only while the end is in sight, and at most so many stay. */
(() => {
  "use strict";
  const MOST_LINES = 1000, NEAR_PX = 40;
  const box = document.getElementById("log-box"), lines = document.getElementById("log");
  const end = document.getElementById("log-end"), follows = document.getElementById("log-follow");
  const atEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight <= NEAR_PX;
  let missed = 0, following = true, held = false; // held: following was switched off by hand

  const wanted = (line) => box.dataset.live === "yes"
    && ["slot", "kind", "source"].every((key) => !box.dataset[key] || box.dataset[key] === line.dataset[key])
    && (!box.dataset.level || box.dataset.level === line.dataset.level
      || (box.dataset.level === "warning" && line.dataset.level === "error"))
    && line.querySelector(".told").textContent.toLowerCase().includes(box.dataset.q.toLowerCase());
  const last = () => Number(lines.dataset.last);
  const number = (line) => Number(line.id.slice(1));
  lines.dataset.last = Math.max(0, ...[...lines.children].map(number));

  function follow() {
    following = !held && atEnd();
    if (following) missed = 0;
    follows.checked = following;
    end.hidden = following || !missed;
    end.textContent = `Paused. ${missed} new ${missed === 1 ? "line" : "lines"}. Jump to end`;
  }

  function jump() {
    held = false;
    box.scrollTop = box.scrollHeight;
    follow();
  }

  new MutationObserver((changes) => {
    for (const line of changes.flatMap((change) => [...change.addedNodes])) {
      if (line.nodeType !== Node.ELEMENT_NODE) continue;
      if (number(line) <= last() || !wanted(line)) { line.remove(); continue; }
      lines.dataset.last = number(line);
      missed += 1;
    }
    document.getElementById("log-empty").hidden = lines.childElementCount > 0;
    if (!following) return follow();
    while (lines.childElementCount > MOST_LINES) lines.firstElementChild.remove();
    box.scrollTop = box.scrollHeight;
    follow();
  }).observe(lines, { childList: true });
  box.addEventListener("scroll", follow);
  end.addEventListener("click", () => { jump(); box.focus(); });
  follows.addEventListener("change", () => {
    held = !follows.checked;
    if (held) follow(); else jump();
  });

  // -- how lines look is remembered by this browser

  const wrap = document.getElementById("log-wrap"), size = document.getElementById("log-size");
  const WRAP = "hal0-log-wrap", SIZE = "hal0-log-size";
  function look() {
    box.classList.toggle("unwrapped", !wrap.checked);
    box.dataset.size = size.value;
    if (following) box.scrollTop = box.scrollHeight;
  }
  wrap.checked = localStorage.getItem(WRAP) !== "no";
  size.value = localStorage.getItem(SIZE) ?? "";
  if (size.selectedIndex < 0) size.value = "";
  wrap.addEventListener("change", () => { localStorage.setItem(WRAP, wrap.checked ? "yes" : "no"); look(); });
  size.addEventListener("change", () => { localStorage.setItem(SIZE, size.value); look(); });
  document.getElementById("log-tools").hidden = false;
  look();
  jump();
})();
