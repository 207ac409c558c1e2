/* The journal page: new lines come unfiltered, follow only while the end is in sight, and at most so many stay. */
(() => {
  "use strict";
  const MOST_LINES = 1000, EARLIER = 500, NEAR_PX = 40, BUSY_MS = 5000;
  const box = document.getElementById("log-box"), lines = document.getElementById("log");
  const end = document.getElementById("log-end"), follows = document.getElementById("log-follow");
  const atEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight <= NEAR_PX;
  let missed = 0, following = true, held = false; // held: following was switched off by hand
  let cut = false; // what came while somebody read has no room here

  const wanted = (line) => box.dataset.live === "yes"
    && ["slot", "kind", "source"].every((key) => !box.dataset[key] || box.dataset[key] === line.dataset[key])
    && (!box.dataset.level || box.dataset.level === line.dataset.level
      || (box.dataset.level === "warning" && line.dataset.level === "error"))
    && line.querySelector(".told").textContent.toLowerCase().includes(box.dataset.q.toLowerCase());
  const last = () => Number(lines.dataset.last);
  const number = (line) => Number(line.id.slice(1));
  lines.dataset.last = Math.max(box.dataset.newest, ...[...lines.children].map(number));

  function follow() {
    following = !held && atEnd();
    if (following) missed = 0;
    follows.checked = following;
    end.hidden = following || !missed;
    end.textContent = `Paused. ${missed} new ${missed === 1 ? "line" : "lines"}. Jump to end`;
  }

  function jump() {
    if (cut) return location.reload();
    held = false;
    box.scrollTop = box.scrollHeight;
    follow();
  }

  // -- lines that did not come: many at once are thinned out, and a page that was away gets the newest only

  const full = document.getElementById("log-full"), thin = document.getElementById("log-thin");
  let calm = 0;

  function told(news) {
    const gaps = news.filter((line, place) => number(line) > (place ? number(news[place - 1]) : last()) + 1);
    if (gaps.length > 1) {
      const every = Math.round((number(news.at(-1)) - last()) / news.length);
      thin.textContent = `Showing 1 in ${every} lines. `;
      thin.append(full.content.cloneNode(true));
      clearTimeout(calm);
      calm = setTimeout(() => thin.replaceChildren(), BUSY_MS);
    } else if (gaps.length) {
      const left = number(gaps[0]) - (gaps[0] === news[0] ? last() : number(news[news.indexOf(gaps[0]) - 1])) - 1;
      const row = document.createElement("li");
      row.className = "gap";
      // a log's numbers jump when hal0 restarts, the journal's do not
      const what = box.dataset.counted === "yes" ? `${left} ${left === 1 ? "line" : "lines"} left out` : "Lines may be left out here";
      row.textContent = `${what}, while this page did not listen. `;
      row.append(full.content.cloneNode(true));
      gaps[0].before(row);
    }
  }

  new MutationObserver((changes) => {
    const came = changes.flatMap((change) => [...change.addedNodes])
      .filter((line) => line.nodeType === Node.ELEMENT_NODE && line.id && !line.dataset.older && line.isConnected);
    const news = came.filter((line) => number(line) > last());
    for (const line of came) if (!news.includes(line)) line.remove();
    if (box.dataset.live === "yes") told(news);
    for (const line of news) {
      lines.dataset.last = number(line);
      if (wanted(line)) missed += 1;
      else line.remove();
    }
    document.getElementById("log-empty").hidden = lines.childElementCount > 0;
    if (!following) {
      for (; lines.childElementCount > MOST_LINES; cut = true) lines.lastElementChild.remove();
      return follow();
    }
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

  // -- earlier lines come above, without a move of what is read; past what a page holds they are a page of their own

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("#log-earlier");
    if (!link || lines.childElementCount + EARLIER > MOST_LINES) return;
    event.preventDefault();
    if (link.getAttribute("aria-disabled")) return;
    link.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = [...page.querySelectorAll("#log > li")];
      for (const line of found) line.dataset.older = "yes";
      const end_ = box.scrollHeight - box.scrollTop;
      lines.prepend(...found);
      const next = page.getElementById("log-earlier");
      if (next) link.href = next.href; else link.parentElement.replaceWith(...page.querySelectorAll(".oldest"));
      box.scrollTop = box.scrollHeight - end_;
      link.removeAttribute("aria-disabled");
      box.focus({ preventScroll: true });
    } catch {
      location.assign(link.href);
    }
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
