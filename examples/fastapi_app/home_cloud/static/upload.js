// Uploads, one after the other. XMLHttpRequest, because fetch cannot tell how much has been sent.

import { byId, formatSize, make } from "./ui.js";

const waiting = [];
let running = false;

// Queue a file for `PUT url` and show its progress.
export function upload(task) {
  task.row = makeRow(task);
  byId("uploads").append(task.row.item);
  waiting.push(task);
  runNext();
}

function runNext() {
  if (running || waiting.length === 0) return;
  running = true;
  send(waiting.shift(), () => {
    running = false;
    runNext();
  });
}

function makeRow(task) {
  const progress = make("progress", { max: task.file.size || 1, value: 0 });
  const status = make("span", { className: "progress", textContent: "waiting" });
  const button = make("button", { type: "button", textContent: "Cancel" });
  const name = make("span", { className: "name", textContent: task.name });
  button.addEventListener("click", () => task.onButton());
  task.onButton = () => {
    waiting.splice(waiting.indexOf(task), 1);
    task.row.item.remove();
  };
  return { item: make("li", {}, name, status, button, progress), progress, status, button };
}

function send(task, onEnd) {
  const { item, progress, status, button } = task.row;
  const request = new XMLHttpRequest();
  const started = performance.now();

  request.upload.addEventListener("progress", (event) => {
    progress.value = event.loaded;
    const speed = event.loaded / ((performance.now() - started) / 1000 || 1);
    status.textContent = `${formatSize(event.loaded)} of ${formatSize(task.file.size)}, ${formatSize(speed)}/s`;
  });
  request.addEventListener("load", () => {
    if (request.status === 201) {
      item.remove();
      task.onDone();
    } else {
      fail(reasonOf(request));
    }
  });
  request.addEventListener("error", () => fail("connection lost"));
  request.addEventListener("abort", () => item.remove());
  request.addEventListener("loadend", onEnd);

  function fail(reason) {
    item.dataset.failed = "";
    status.textContent = reason;
    button.textContent = "Retry";
    task.onButton = () => {
      delete item.dataset.failed;
      item.remove();
      upload(task);
    };
  }

  task.onButton = () => request.abort();
  status.textContent = "starting";
  request.open("PUT", task.url);
  request.send(task.file);
}

function reasonOf(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return `the app answered ${request.status}`;
  }
}
