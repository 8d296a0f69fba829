// The live log: server-sent events that go on after a lost connection where they stopped.

import { byId, formatSize, formatTime, make, Retry } from "./ui.js";

const KINDS = ["uploaded", "deleted", "created", "joined", "left", "message"];
const SILENCE = 25000; // milliseconds without a heartbeat (one each 10 s) before the link counts as dead
const RECENT = 30; // past events to begin with
const LOG_LIMIT = 100;

const sentences = {
  uploaded: (event) => `${event.path} uploaded (${formatSize(event.size)})`,
  deleted: (event) => `${event.path} deleted`,
  created: (event) => `Folder ${event.path} created`,
  joined: (event) => `${event.nick} joined the chat`,
  left: (event) => `${event.nick} left the chat`,
  message: (event) => `${event.nick}: ${event.text}`,
};

function show(event) {
  const log = byId("log");
  log.prepend(
    make(
      "li",
      { data: { kind: event.type } },
      make("span", { className: "what", textContent: sentences[event.type](event) }),
      make("time", { textContent: formatTime(event.time) }),
    ),
  );
  while (log.children.length > LOG_LIMIT) log.lastChild.remove();
}

export function connectEvents({ onState, onBack, onEvent }) {
  let source;
  let watchdog;
  let lastId = "";
  let wasOpen = false;
  const retry = new Retry(connect);

  // EventSource reconnects by itself, but gives up on any answer that is no stream, such as the
  // 503 of an edge whose app restarts. So each loss is answered with a new one, by our own clock.
  function lose() {
    clearTimeout(watchdog);
    source.close();
    onState("lost");
    retry.later();
  }

  function hear() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lose, SILENCE);
  }

  function connect() {
    const query = lastId ? `after=${encodeURIComponent(lastId)}` : `recent=${RECENT}`;
    source = new EventSource(`api/events?${query}`);
    source.addEventListener("open", () => {
      retry.succeeded();
      hear();
      onState("live");
      if (wasOpen) onBack();
      wasOpen = true;
    });
    source.addEventListener("error", lose);
    source.addEventListener("heartbeat", hear);
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        hear();
        lastId = message.lastEventId;
        const event = JSON.parse(message.data);
        show(event);
        onEvent(event);
      });
    }
    hear();
  }

  connect();
}
