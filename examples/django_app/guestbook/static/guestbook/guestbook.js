// The page works without this file; it adds live entries, local times and a check of the picture.

const entries = document.getElementById("entries");
const live = document.getElementById("live");
const total = document.getElementById("total");
const form = document.querySelector("form");

function showLocalTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time")) {
    time.textContent = format.format(new Date(time.dateTime));
  }
}

function showState(isOpen) {
  live.hidden = false;
  live.dataset.state = isOpen ? "on" : "off";
  live.textContent = isOpen ? "live" : "connecting…";
}

function addEntry(event) {
  const { id, html } = JSON.parse(event.data);
  if (document.getElementById(`entry-${id}`)) return; // repeated after a reconnect
  const template = document.createElement("template");
  template.innerHTML = html; // escaped by Django's template
  showLocalTimes(template.content);
  template.content.firstElementChild.classList.add("fresh");
  entries.prepend(template.content);
  total.textContent = Number(total.textContent) + 1;
}

function follow() {
  showState(false);
  // The browser reconnects by itself and names the last event it saw, so nothing is missed.
  const source = new EventSource(entries.dataset.events);
  source.addEventListener("open", () => showState(true));
  source.addEventListener("error", () => showState(false));
  source.addEventListener("entry", addEntry);
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
}

function checkPicture() {
  const [picture] = form.elements.picture.files;
  const limit = Number(form.dataset.pictureMax);
  const isTooLarge = picture !== undefined && picture.size > limit;
  const problem = isTooLarge ? `Please choose a picture of at most ${limit / 2 ** 20} MiB.` : "";
  form.elements.picture.setCustomValidity(problem);
  form.querySelector(".file-label").textContent = picture ? picture.name : "Add a picture";
  form.elements.picture.reportValidity();
}

showLocalTimes(document);
if (entries.dataset.events) follow(); // older pages stand still
form.elements.picture.addEventListener("change", checkPicture);
form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
window.addEventListener("pageshow", () => { form.querySelector("button").disabled = false; });
