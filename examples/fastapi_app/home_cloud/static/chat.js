// The chat: a WebSocket that comes back, and a nick name the browser remembers.

import { byId, formatTime, make, Retry, toast } from "./ui.js";

const HISTORY = 50; // messages the room sends to a newcomer; as many stay on screen, and some more
const ANIMALS = ["Otter", "Heron", "Lynx", "Finch", "Badger", "Robin", "Hare", "Newt", "Swift", "Marten"];

function loadNick() {
  const animal = ANIMALS[Math.floor(Math.random() * ANIMALS.length)];
  const nick = localStorage.getItem("nick") || `${animal} ${Math.ceil(Math.random() * 99)}`;
  localStorage.setItem("nick", nick);
  return nick;
}

function show({ nick, text, time }) {
  const messages = byId("messages");
  const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
  const previous = messages.lastElementChild;
  const own = nick === byId("nick").value.trim();
  const item = make("li", { className: own ? "own" : "", data: { nick } });
  if (previous?.dataset.nick !== nick) {
    item.append(make("span", { className: "who", textContent: `${own ? "You" : nick}, ${formatTime(time)}` }));
  }
  item.append(make("span", { className: "said", textContent: text, title: formatTime(time) }));
  messages.append(item);
  while (messages.children.length > 4 * HISTORY) messages.firstChild.remove();
  if (atEnd || own) messages.scrollTop = messages.scrollHeight;
}

export function connectChat({ onState, onNews }) {
  const nick = byId("nick");
  const text = byId("text");
  const send = byId("say").querySelector("button");
  let socket;
  const retry = new Retry(connect);

  function connect() {
    const url = new URL("api/chat", document.baseURI);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("nick", nick.value.trim());
    const attempt = new WebSocket(url);
    socket = attempt;
    attempt.addEventListener("open", () => {
      retry.succeeded();
      byId("messages").replaceChildren(); // the room sends its history again
      send.disabled = false;
      onState("live");
    });
    attempt.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.error) {
        toast(message.error);
        return;
      }
      show(message);
      if (Date.now() / 1000 - message.time < 10) onNews();
    });
    attempt.addEventListener("close", () => lose(attempt));
  }

  function lose(attempt) {
    if (attempt !== socket) return; // an older one, already replaced
    socket = undefined;
    send.disabled = true;
    onState("lost");
    retry.later();
  }

  nick.value = loadNick();
  nick.addEventListener("change", () => {
    nick.value = nick.value.trim() || loadNick();
    localStorage.setItem("nick", nick.value);
  });
  byId("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (!said || send.disabled) return; // not connected: what was typed stays
    socket.send(JSON.stringify({ nick: nick.value.trim(), text: said }));
    text.value = "";
  });
  connect();

  return {
    // For a link known to be dead, which the socket itself may notice only minutes later.
    reconnect() {
      if (socket === undefined) return;
      const dead = socket;
      lose(dead);
      dead.close();
    },
  };
}
