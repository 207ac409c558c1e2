/* The test bench: what sending would do, and when somebody begins to write, what asks and shows the answers. */
(() => {
  "use strict";
  const form = document.getElementById("chat-form"), send = document.getElementById("chat-send");
  const prompt = document.getElementById("prompt"), choice = document.getElementById("chat-slot");
  const slots = () => [...document.querySelectorAll("#chat-slots [data-slot]")].map((one) => one.dataset);
  const known = (name) => slots().find((one) => one.slot === name);
  const loaded = (slot) => ["Ready", "Serving", "Drift"].includes(slot.word);
  let coming = null, bench = null;

  // The slots to choose from are those that there are; one that was chosen stays chosen.
  function offer() {
    const rows = slots().map((one) => [one.slot, one.model ? `${one.slot} (${one.model})` : one.slot]);
    const chosen = choice.value, shown = [...choice.options].map((one) => one.text);
    if (chosen && !known(chosen)) rows.push([chosen, chosen]);
    if (rows.map((row) => row[1]).join() !== shown.join()) choice.replaceChildren(...rows.map(([name, text]) => new Option(text, name, false, name === chosen)));
  }

  function hint(slot) {
    const name = choice.value, about = slot?.last ? ` (about ${slot.last})` : "";
    if (!slot) return name ? `${name} takes no messages now. Choose another slot.` : "There is no slot to chat with yet.";
    if ("blocked" in slot) return "";
    if (slot.word === "Loading") return `${name} is loading; an answer waits for that.`;
    return loaded(slot) ? "" : `${name} is not loaded. Sending loads ${slot.model} first${about}, which may evict another.`;
  }

  // What sending would do, beside the message, or why nothing can be sent.
  function tell() {
    offer();
    const slot = known(choice.value), away = slot !== undefined && "blocked" in slot, text = hint(slot);
    document.getElementById("chat-away").hidden = !away;
    if (away || !slot || bench?.busy()) send.setAttribute("aria-disabled", "true"); else send.removeAttribute("aria-disabled");
    const said = document.getElementById("prompt-hint");
    if (said.textContent !== text) said.textContent = text;
  }

  // What does the rest comes when it is about to be wanted.
  const begin = () => coming ??= import(form.dataset.answer).then((parts) => bench = parts.bench({ known, loaded, changed: tell }))
    .catch(() => { coming = null; });

  form.addEventListener("focusin", begin);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await begin();
    const text = prompt.value.trim(), lost = document.getElementById("chat-lost");
    lost.hidden = bench !== null;
    if (!bench || !text || send.getAttribute("aria-disabled")) return;
    prompt.value = "";
    bench.ask(text);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  choice.addEventListener("change", tell);
  new MutationObserver(tell).observe(document.getElementById("chat-slots").parentElement, { subtree: true, childList: true, attributes: true });
  tell();
  const fresh = document.getElementById("chat-new");
  fresh.hidden = false;
  fresh.addEventListener("click", () => { bench?.anew(); prompt.focus(); });
})();
