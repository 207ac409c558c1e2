/* What htmx does not do: say how fresh the page is, notice a stream that went silent, local time, messages that go. */
(() => {
  "use strict";
  const STALE_MS = 6000, GIVE_UP_MS = 12000, TOAST_MS = 6000, RESTART_MS = 60000;
  const live = document.getElementById("live");
  const link = document.getElementById("link");
  const dialog = document.getElementById("dialog");
  let beatAt = performance.now();
  let heard = true; // something came on the present connection
  let beats = 0; // on the present connection
  let silent = 0; // connections in a row that opened and brought nothing: a proxy keeps them back
  let connection = null;
  let paused = false;
  let restart = null; // when somebody asked hal0 for one
  let ahead = Date.now() - document.body.dataset.now; // this browser's clock against the server's, ms
  const now = () => new Date(Date.now() - ahead);
  let beatClock = now();

  // -- how fresh the page is

  const LOST = ["stale", "reconnecting", "restarting"];
  const AS_OF = [...LOST, "paused", "behind"]; // what the page shows then is as of the last beat
  const RENEWED = "hal0-renewed"; // the build for which this tab was reloaded

  function show(state) {
    if (paused && state !== "paused") return;
    if (document.hidden && !paused) state = "behind"; // so that it is not taken for live when it is seen again
    if (restart !== null && performance.now() - restart < RESTART_MS && LOST.includes(state)) state = "restarting";
    if (link.dataset.state === state) return;
    link.dataset.state = state;
    document.documentElement.toggleAttribute("data-stale", AS_OF.includes(state));
    headline();
  }

  function fresh(state) {
    restart = null;
    beatAt = performance.now();
    beatClock = now();
    show(state);
  }

  // a reload takes nothing away that somebody is about
  const busy = () => dialog.open || dirty || document.querySelector("#transcript > *") !== null;
  let dirty = false;
  document.addEventListener("input", (event) => { if (event.target.closest("form[method=post]")) dirty = true; });

  function pulse({ boot, t }, state) {
    ahead = Date.now() - t;
    fresh(state);
    if (boot === document.body.dataset.boot) return;
    // once: whatever keeps old pages on the way would be asked for ever
    const again = sessionStorage.getItem(RENEWED) === boot;
    document.getElementById("renewed").hidden = !busy() && !again;
    if (busy() || again) return;
    sessionStorage.setItem(RENEWED, boot);
    location.reload();
  }

  live.addEventListener("beat", (event) => {
    heard = true;
    beats += 1;
    silent = 0;
    pulse(JSON.parse(event.detail.data), "live");
  });
  live.addEventListener("restarting", () => {
    restart = performance.now();
    show("restarting");
  });
  live.addEventListener("polling", (event) => pulse(event.detail, "polling"));
  live.addEventListener("kept-back", (event) => pulse(event.detail, "keptBack"));
  document.addEventListener("htmx:config:request", (event) => {
    if (event.target === live && silent > 1) event.detail.ctx.request.action += "&poll=1";
  });
  live.addEventListener("signin", () => location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`));
  for (const name of ["htmx:sse:error", "htmx:error", "htmx:response:error"]) {
    live.addEventListener(name, () => show("reconnecting"));
  }
  live.addEventListener("htmx:sse:before:connection", (event) => {
    connection = event.detail.connection;
    beats = 0;
    if (away()) { connection.cancelled = true; return; }
    if (connection.attempt === 0) return;
    if (link.dataset.state !== "behind") show("reconnecting");
    // The extension retries what was a stream and does not see that it has become a plain page, or nothing. A retry
    // that brought nothing ends its loop; the trigger on #live then asks anew and takes either answer.
    if (!heard) connection.cancelled = true;
    heard = false;
  });
  const pause = document.getElementById("pause");
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    if (paused) {
      show("paused");
      connection?.reader?.cancel();
    } else {
      show("connecting");
      document.body.dispatchEvent(new Event("wake"));
    }
  });
  // The extension lets go of a stream when the page is hidden, not of one that comes to a page that is hidden already,
  // and six of them are all that a browser opens to one host.
  const away = () => paused || document.hidden;
  document.addEventListener("htmx:before:request", (event) => { if (away() && event.target === live) event.preventDefault(); });
  live.addEventListener("htmx:sse:after:connection", (event) => {
    if (document.hidden) queueMicrotask(() => event.detail.connection.reader?.cancel());
  });
  document.addEventListener("visibilitychange", () => {
    beatAt = performance.now();
    if (document.hidden) return show("behind");
    count();
    document.body.dispatchEvent(new Event("wake"));
  });
  setInterval(() => {
    const silence = performance.now() - beatAt;
    if (day !== now().toDateString()) polish(); // times get their day
    if (document.hidden || silence < STALE_MS) return;
    if (link.dataset.state !== "reconnecting") show("stale");
    if (silence > GIVE_UP_MS && connection && connection.reader) {
      beatAt = performance.now() - STALE_MS;
      if (beats === 0) silent += 1;
      connection.reader.cancel();
    }
  }, 500);

  // -- times in the reader's own zone, the worst state in the browser's tab

  const two = (number) => String(number).padStart(2, "0");

  function clock(date) {
    const today = now().toDateString() === date.toDateString();
    const hours = `${two(date.getHours())}:${two(date.getMinutes())}`;
    if (today) return `${hours}:${two(date.getSeconds())}`;
    return `${date.getDate()} ${date.toLocaleString("en", { month: "short" })} ${hours}`;
  }

  // how long something goes on, or how long until it is tried again
  setInterval(count, 1000);

  function count() {
    if (document.hidden || paused) return;
    for (const time of document.querySelectorAll("time[data-count]")) {
      const passed = Math.round((now() - new Date(time.dateTime)) / 1000);
      const whole = Math.max(time.dataset.count === "up" ? passed : -passed, 0);
      const text = `${Math.floor(whole / 60)}:${two(whole % 60)}`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // what was just done is said once, not again by a reload or the back button
  const here = new URL(location);
  if (here.searchParams.has("said")) {
    for (const name of ["said", "slot"]) here.searchParams.delete(name);
    history.replaceState(history.state, "", here);
  }

  const title = document.title;
  const icon = document.getElementById("icon");
  let day = ""; // by which the times are told

  function polish() {
    day = now().toDateString();
    for (const time of document.querySelectorAll("time[datetime]:not([data-count])")) {
      const text = clock(new Date(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
    headline();
  }

  // What is said of the connection, here and in the browser's tab, and as of when, once nothing more comes.
  function headline() {
    const state = link.dataset.state, lost = LOST.includes(state), old = AS_OF.includes(state) || document.hidden;
    const asOf = old ? ` (as of ${clock(beatClock)})` : "";
    const told = link.dataset[state] + (AS_OF.includes(state) ? asOf : "");
    if (link.textContent !== told) link.textContent = told;
    const worst = lost ? link.dataset.title : document.getElementById("worst").dataset.title;
    const wanted = `${worst ? `${worst} · ` : ""}${title}${asOf}`;
    if (document.title !== wanted) document.title = wanted;
    const face = icon.dataset[worst && !lost ? "alert" : old ? "lost" : "calm"];
    if (icon.getAttribute("href") !== face) icon.setAttribute("href", face);
  }

  new MutationObserver(() => { polish(); unread(); }).observe(document.body, { subtree: true, childList: true, characterData: true, attributeFilter: ["data-title"] });

  // -- focus stays in a card whose button went away with an update

  let held = null;
  document.addEventListener("htmx:before:swap", () => {
    const card = document.activeElement && document.activeElement.closest(".card");
    held = card ? card.id : null;
  });
  document.addEventListener("htmx:after:swap", () => {
    const card = held && document.activeElement === document.body ? document.getElementById(held) : null;
    if (card) card.focus({ preventScroll: true });
  });

  // -- buttons that wait

  const alerts = document.getElementById("alerts");

  document.addEventListener("click", (event) => {
    if (!event.target.closest('[aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  const button = (event) => event.target.matches?.("form.act") ? event.target.querySelector("button") : null;
  document.addEventListener("htmx:before:request", (event) => button(event)?.setAttribute("aria-disabled", "true"));
  document.addEventListener("htmx:finally:request", (event) => button(event)?.removeAttribute("aria-disabled"));
  document.addEventListener("htmx:config:request", (event) => { if (button(event)) event.detail.ctx.request.timeout ??= "30s"; });
  document.addEventListener("htmx:error", (event) => {
    if (!button(event)) return;
    const words = event.detail.error === "timeout" ? "too-late" : "no-answer";
    alerts.append(document.getElementById(words).content.cloneNode(true));
  });

  // -- how much of the journal is new since it was last opened here

  const SEEN = "hal0-journal-seen";

  function unread() {
    const box = document.getElementById("latest");
    if (!box) return;
    const newest = Number(box.dataset.newest);
    const seen = Number(localStorage.getItem(SEEN) ?? newest);
    if (box.open || seen > newest || localStorage.getItem(SEEN) === null) localStorage.setItem(SEEN, newest);
    const count = box.open ? 0 : Math.max(newest - seen, 0);
    const text = count ? `${count} new` : "";
    const label = document.getElementById("unread");
    if (label.textContent !== text) label.textContent = text;
  }

  document.addEventListener("toggle", (event) => { if (event.target.id === "latest") unread(); }, true);

  // -- messages

  function leave(box) {
    setTimeout(() => box.matches(":hover, :focus-within") ? leave(box) : box.remove(), TOAST_MS);
  }

  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => {
    if (node.nodeType === Node.ELEMENT_NODE) leave(node);
  }))).observe(document.getElementById("toasts"), { childList: true });
  document.addEventListener("click", (event) => {
    if (event.target.closest(".toast .close")) event.target.closest(".toast").remove();
  });

  show("connecting");
  polish();
  unread();
})();
