/* An answer as it comes, in the transcript: fetched when somebody begins to write, and used by chat.js. */
const WRITE_MS = 60, LOOK_MS = 250;
const send = document.getElementById("chat-send"), stop = document.getElementById("chat-stop");
const prompt = document.getElementById("prompt"), transcript = document.getElementById("transcript");
const told = document.getElementById("chat-said"), empty = document.getElementById("chat-empty");
const value = (id) => document.getElementById(id).value;

/* `known`: the facts of a slot; `loaded`: whether it answers at once; `changed`: said when an answer ended. */
export function bench({ known, loaded, changed }) {
  let messages = [], lastModel = null, running = null;

  function make(tag, name, text) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function bubble(role, text) {
    const box = make("article", `bubble ${role}`);
    box.append(make("h2", "who", role === "user" ? "You" : "Answer"), make("div", "text", text));
    transcript.append(box);
    empty.hidden = true;
    box.scrollIntoView({ block: "nearest" });
    return box;
  }

  const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const counted = (number) => `${number} ${number === 1 ? "token" : "tokens"}`;
  // what a browser calls a lost connection differs, and tells nobody anything
  const why = (problem, begun) => problem instanceof TypeError ? (begun ? "the connection broke" : "hal0 did not answer.") : problem.message;
  const seconds = (from) => (performance.now() - from) / 1000;
  const clock = (from) => `${Math.floor(seconds(from) / 60)}:${String(Math.floor(seconds(from) % 60)).padStart(2, "0")}`;

  // What is known of the slot says what is waited for; nothing is made up.
  function waiting(answer) {
    const slot = known(answer.slot);
    if (!slot || !answer.looked) return "Sent";
    const time = clock(answer.sent);
    if (slot.word === "Loading") return `Loading ${slot.model} (${time}${slot.last ? `, last time ${slot.last}` : ""})`;
    if (loaded(slot)) return `Reading about ${grouped(answer.asked)} prompt tokens (${time})`;
    return `Sent. ${slot.word}: ${slot.sentence} (${time})`;
  }

  function body(slot) {
    const system = value("system").trim(), request = { model: slot, stream: true, stream_options: { include_usage: true } };
    request.messages = system ? [{ role: "system", content: system }, ...messages] : messages;
    for (const [id, name] of [["temperature", "temperature"], ["max_tokens", "max_tokens"]]) {
      const number = Number.parseFloat(value(id));
      if (!Number.isNaN(number)) request[name] = number;
    }
    return request;
  }

  class Answer {
    constructor(slot) {
      const asked = Math.max(1, Math.round(messages.reduce((sum, one) => sum + one.content.length, value("system").length) / 4));
      Object.assign(this, { slot, asked, sent: performance.now(), text: "", thought: "", pieces: 0, first: null, reason: "", looked: false });
      this.box = bubble("assistant", "Sent");
      this.box.setAttribute("aria-busy", "true");
      this.out = this.box.querySelector(".text");
      this.abort = new AbortController();
      this.timer = setInterval(() => { this.looked = true; this.write(); }, LOOK_MS);
    }

    write() {
      this.written = performance.now();
      this.box.dataset.state = this.ended ? "ended" : this.first === null ? "waiting" : "answering";
      if (this.thought && !this.thinking) {
        this.thinking = make("details", "thought");
        this.thinking.append(make("summary", "", "Reasoning"), make("div", "text"));
        this.out.before(this.thinking);
      }
      if (this.thinking) this.thinking.lastElementChild.textContent = this.thought;
      this.out.textContent = this.text || (this.ended ? "" : this.thought ? "Reasoning…" : waiting(this));
    }

    take(event) {
      const data = event.split(/\r\n|\r|\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (!data || data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message ?? String(chunk.error));
      if (chunk.usage) this.usage = chunk.usage;
      this.model ||= chunk.model ?? ""; // the head does not tell it when signs of life went out before
      const choice = chunk.choices?.[0];
      if (!choice) return;
      if (choice.finish_reason) this.reason = choice.finish_reason;
      const text = choice.delta?.content, thought = choice.delta?.reasoning_content;
      if (!text && !thought) return;
      this.first ??= performance.now();
      this.pieces += 1;
      this.text += text ?? "";
      this.thought += thought ?? "";
      if (performance.now() - (this.written ?? 0) > WRITE_MS) this.write();
    }

    async read(response) {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value: piece } = await reader.read();
        if (done) break;
        const events = (rest + piece).split(/\r\n\r\n|\n\n|\r\r/);
        rest = events.pop();
        events.forEach((event) => this.take(event));
      }
      if (!this.reason) throw new Error("the stream ended before the answer did");
    }

    get tokens() { return this.usage?.completion_tokens ?? this.pieces; }

    facts() {
      const model = this.model || "not told", since = this.first === null ? 0 : seconds(this.first);
      const speed = since > 0 && this.tokens > 1 ? `${((this.tokens - 1) / since).toFixed(1)} tokens/s` : "speed not known";
      const wait = this.first === null ? "no first token" : `first token after ${((this.first - this.sent) / 1000).toFixed(2)} s`;
      return [`slot ${this.slot}`, `model ${model}`, wait, counted(this.tokens), speed, this.reason && `ended: ${this.reason}`];
    }

    // What is said of it below: a `kind` "hint" is what was asked for, a "problem" is not.
    end(said = "", kind = "problem", again = null) {
      this.ended = true;
      clearInterval(this.timer);
      const facts = this.facts();
      this.write();
      this.box.removeAttribute("aria-busy");
      if (said) {
        const line = make("p", kind, said);
        if (again) { const retry = make("button", "", "Retry"); retry.type = "button"; retry.addEventListener("click", again); line.append(" ", retry); }
        this.box.append(line);
      }
      if (this.model && lastModel && this.box.isConnected && this.model !== lastModel) this.box.append(make("p", "hint", `From here on ${this.model} answered, before it was ${lastModel}.`));
      if (this.model && this.box.isConnected) lastModel = this.model;
      this.box.append(make("p", "answer-facts", facts.filter(Boolean).join(" · ")));
      this.box.scrollIntoView({ block: "nearest" });
    }
  }

  // Why an answer ended before its end: the context is full where the count of its tokens says so.
  function cut(answer) {
    const ctx = Number(known(answer.slot)?.ctx), all = answer.usage?.total_tokens;
    if (ctx && all >= ctx) return [`Context is full (${grouped(ctx)} tokens). Start a new chat or raise the context of the slot.`];
    return ["The answer was cut at the longest answer that is set here.", "hint"];
  }

  async function ask(text) {
    const slot = value("chat-slot"), thread = messages;
    for (const old of transcript.querySelectorAll(".problem button")) old.remove(); // only the newest is tried again
    if (text) { messages.push({ role: "user", content: text }); bubble("user", text); }
    const answer = running = new Answer(slot);
    const again = () => {
      if (running) return;
      if (thread.at(-1).role === "assistant") thread.pop();
      ask("");
      stop.focus();
    };
    send.setAttribute("aria-disabled", "true");
    stop.hidden = false;
    try {
      const response = await fetch("/v1/chat/completions", {
        method: "POST", headers: { "Content-Type": "application/json", "X-hal0-Agent": "dashboard" }, body: JSON.stringify(body(slot)), signal: answer.abort.signal,
      });
      answer.model = decodeURIComponent(response.headers.get("X-Hal0-Model") ?? "");
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error?.message ?? `hal0 answered ${response.status}.`);
      await answer.read(response);
      answer.end(...(answer.reason === "length" ? cut(answer) : []));
      thread.push({ role: "assistant", content: answer.text });
      told.textContent = `Answer finished, ${counted(answer.tokens)}.`;
    } catch (problem) {
      const stopped = answer.abort.signal.aborted;
      const words = answer.pieces ? `The model stopped answering after ${counted(answer.tokens)}: ${why(problem, true)}.` : why(problem, false);
      if (stopped) answer.end(`Stopped by you after ${counted(answer.tokens)}.`, "hint");
      else answer.end(words, "problem", again);
      if (answer.text) thread.push({ role: "assistant", content: answer.text });
      told.textContent = stopped ? "Stopped." : "The answer failed.";
    } finally {
      running = null;
      send.removeAttribute("aria-disabled");
      if (document.activeElement === stop) prompt.focus();
      stop.hidden = true;
      changed();
    }
  }

  function anew() {
    running?.abort.abort();
    messages = [];
    lastModel = null;
    transcript.replaceChildren();
    empty.hidden = false;
  }

  stop.addEventListener("click", () => { running?.abort.abort(); prompt.focus(); });
  return { ask, anew, busy: () => running !== null };
}
