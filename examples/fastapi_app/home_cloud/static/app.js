// Puts the page together: tabs, the connection state, and which event refreshes what.

import { connectChat } from "./chat.js";
import { connectEvents } from "./events.js";
import { currentFolder, openFolder, setUpFiles } from "./files.js";
import { byId } from "./ui.js";

const links = { events: "connecting", chat: "connecting" };

function showState(link, state) {
  links[link] = state;
  const states = Object.values(links);
  const live = states.every((each) => each === "live");
  const waiting = states.includes("lost") ? "reconnecting" : "connecting";
  const name = live ? "live" : navigator.onLine ? waiting : "offline";
  const pill = byId("state");
  pill.dataset.state = name;
  pill.textContent = name[0].toUpperCase() + name.slice(1);
  pill.title = `events: ${links.events}, chat: ${links.chat}`;
}

function showTab(name) {
  document.body.dataset.tab = name;
  for (const button of document.querySelectorAll(".tabs button")) {
    button.classList.toggle("current", button.dataset.tab === name);
    if (button.dataset.tab === name) button.classList.remove("news");
  }
}

function markNews(tab) {
  if (document.body.dataset.tab === tab) return;
  document.querySelector(`.tabs button[data-tab="${tab}"]`).classList.add("news");
}

async function showVisitor() {
  const reply = await fetch("api/whoami");
  const { client, scheme, http_version: version } = await reply.json();
  byId("whoami").textContent = `You are ${client?.[0] ?? "unknown"}, over ${scheme} (HTTP/${version})`;
}

// A change in the folder on screen, from this or any other device. Many at once are one refresh.
let refresh;
function onEvent(event) {
  const folder = currentFolder();
  const isHere = folder === "" || event.path?.startsWith(`${folder}/`) || event.path === folder;
  if (event.path === undefined || !isHere) return;
  clearTimeout(refresh);
  refresh = setTimeout(() => openFolder(currentFolder()), 80);
}

for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => showTab(button.dataset.tab));
}
showTab("files");
setUpFiles();
const chat = connectChat({ onState: (state) => showState("chat", state), onNews: () => markNews("chat") });
connectEvents({
  onState: (state) => {
    showState("events", state);
    if (state === "lost") chat.reconnect(); // what silenced the events silenced the chat as well
  },
  onBack: () => openFolder(currentFolder()),
  onEvent,
});
showVisitor().catch(() => {});
