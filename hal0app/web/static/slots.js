/* The order of the cards stays as long as one of them has the focus. */
(() => {
  "use strict";
  const cards = () => [...(document.getElementById("slot-grid")?.querySelectorAll(":scope > .card") ?? [])];
  const focused = () => document.activeElement?.closest("#slot-grid > .card");
  let seen = null; // the order as it stands while a card has the focus
  let due = null; // the order that came meanwhile

  function arrange(ids) {
    const by = new Map(cards().map((card) => [card.id, card])), stays = focused();
    const wanted = ids.map((id) => by.get(id)).filter(Boolean);
    const place = wanted.indexOf(stays);
    for (const [at, card] of wanted.entries()) { // around the one with the focus, which a move would take
      if (at < place) stays.before(card);
      else if (card !== stays) card.parentElement.append(card);
    }
  }

  document.addEventListener("focusin", () => { if (focused()) seen ??= cards().map((card) => card.id); });
  document.addEventListener("focusout", () => setTimeout(() => {
    if (focused()) return;
    if (due) arrange(due);
    seen = due = null;
  }));
  document.addEventListener("htmx:after:swap", () => {
    const now = cards().map((card) => card.id);
    if (!seen || !focused() || now.join() === seen.join()) return;
    due = now;
    seen = [...seen.filter((id) => now.includes(id)), ...now.filter((id) => !seen.includes(id))];
    arrange(seen);
  });
})();
