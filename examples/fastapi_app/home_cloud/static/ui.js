// Small pieces the other modules share: elements, formats, questions, and patience.

export const byId = (id) => document.getElementById(id);

// Make an element. Text is always text, never markup: names come from strangers.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { data, ...rest } = properties;
  Object.assign(element, rest);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

export function formatSize(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)}\u00a0${units[unit]}`;
}

// Today's times as a time, older ones as a date; `seconds` since 1970.
export function formatTime(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return today
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
}

export function toast(text) {
  const note = make("p", { textContent: text });
  byId("toasts").append(note);
  setTimeout(() => note.remove(), 6000);
}

// Ask and return the chosen button's value, or null. Choices: [[value, label, class], ...].
// With `answer`, a text field is shown and its content returned instead of the value.
export function ask(question, choices, answer) {
  const dialog = byId("dialog");
  const field = byId("answer");
  byId("question").textContent = question;
  field.hidden = answer === undefined;
  field.value = answer ?? "";
  byId("choices").replaceChildren(
    ...choices.map(([value, label, look = ""]) =>
      make("button", { value, textContent: label, className: look, type: value ? "submit" : "button" }),
    ),
  );
  byId("choices").querySelector("[type=button]")?.addEventListener("click", () => dialog.close(""));
  dialog.returnValue = "";
  dialog.showModal();
  if (!field.hidden) field.select();
  return new Promise((resolve) => {
    const settle = () => {
      const value = dialog.returnValue || null;
      resolve(value && !field.hidden ? field.value.trim() || null : value);
    };
    dialog.addEventListener("close", settle, { once: true });
  });
}

// Run `connect` again after a loss: soon at first, then less often, at once when the network is back.
export class Retry {
  constructor(connect) {
    this.connect = connect;
    this.failures = 0;
    this.timer = undefined;
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  later() {
    clearTimeout(this.timer);
    const longest = Math.min(10000, 500 * 2 ** this.failures); // milliseconds
    this.failures += 1;
    this.timer = setTimeout(() => this.now(), longest * (0.5 + Math.random() / 2));
  }

  // Does nothing while no attempt is waiting.
  now() {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.connect();
  }

  succeeded() {
    this.failures = 0;
  }
}
