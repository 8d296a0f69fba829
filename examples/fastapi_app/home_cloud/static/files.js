// The folder on screen: browse by address (#/photos/2026), delete, create; and drop to upload.

import { ask, byId, formatSize, formatTime, make, toast } from "./ui.js";
import { upload } from "./upload.js";

const KINDS = {
  image: "jpg jpeg png gif webp avif heic svg bmp tif tiff raw psd",
  video: "mp4 mkv mov webm avi m4v",
  audio: "mp3 flac ogg opus wav m4a aac",
  text: "pdf txt md doc docx odt xls xlsx ods csv ppt pptx odp epub html json",
  pack: "zip gz tar tgz 7z rar xz zst iso deb img",
};

let names = new Set(); // of the listing on screen
let asked = 0; // counts requests, so that a late answer does not replace a newer one

const pathUrl = (kind, path) => `api/${kind}/${path.split("/").map(encodeURIComponent).join("/")}`;
const folderLink = (path) => `#/${path.split("/").map(encodeURIComponent).join("/")}`;
const join = (folder, name) => (folder ? `${folder}/${name}` : name);

export function currentFolder() {
  return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent).join("/");
}

// Request and return the answer; shows the sentence of a refusal and returns null.
async function request(url, options) {
  try {
    const reply = await fetch(url, options);
    if (reply.ok) return reply;
    const refusal = await reply.json().catch(() => ({}));
    toast(refusal.detail ?? `The app answered ${reply.status}.`);
  } catch {
    toast("The app cannot be reached right now.");
  }
  return null;
}

export async function openFolder(path) {
  asked += 1;
  const mine = asked;
  let reply;
  try {
    reply = await fetch(pathUrl("files", path));
  } catch {
    return; // the connection state shows it, and the listing comes when it is back
  }
  if (mine !== asked) return;
  if (!reply.ok) {
    if (path !== "" && reply.status < 500) location.hash = "#/"; // deleted meanwhile
    return;
  }
  const { entries } = await reply.json();
  if (mine === asked && entries) showFolder(path, entries);
}

function showFolder(path, entries) {
  names = new Set(entries.map((entry) => entry.name));
  showCrumbs(path);
  byId("listing").replaceChildren(...entries.map((entry) => makeRow(path, entry)));
  byId("empty").hidden = entries.length > 0;
  const files = entries.filter((entry) => entry.type === "file");
  const folders = entries.length - files.length;
  const parts = [];
  if (folders) parts.push(folders === 1 ? "1 folder" : `${folders} folders`);
  if (files.length) parts.push(files.length === 1 ? "1 file" : `${files.length} files`);
  if (files.length) parts.push(formatSize(files.reduce((sum, file) => sum + file.size, 0)));
  byId("summary").textContent = parts.join(", ");
  byId("summary").hidden = parts.length === 0;
}

function showCrumbs(path) {
  const links = [make("a", { href: "#/", textContent: "Files" })];
  let above = "";
  for (const name of path.split("/").filter(Boolean)) {
    above = join(above, name);
    links.push(make("a", { href: folderLink(above), textContent: name }));
  }
  byId("crumbs").replaceChildren(...links);
}

function makeRow(folder, entry) {
  const path = join(folder, entry.name);
  const isFolder = entry.type === "folder";
  const link = make(
    "a",
    { href: isFolder ? folderLink(path) : pathUrl("files", path), title: entry.name },
    makeBadge(entry),
    make("span", { className: "name", textContent: entry.name }),
    make("span", { className: "size", textContent: isFolder ? "" : formatSize(entry.size) }),
    make("span", { className: "date", textContent: formatTime(entry.modified) }),
  );
  if (isFolder) link.className = "folder";
  else link.target = "_blank"; // a picture opens beside the page; the rest is downloaded
  const label = `Delete ${entry.name}`;
  const button = make("button", { className: "remove", textContent: "×", title: label, ariaLabel: label });
  button.addEventListener("click", () => remove(path, entry));
  return make("li", {}, link, button);
}

function makeBadge({ name, type }) {
  if (type === "folder") return make("span", { className: "badge", data: { kind: "folder" } });
  const extension = name.includes(".") ? name.split(".").pop().toLowerCase() : "";
  const found = Object.entries(KINDS).find(([, list]) => list.split(" ").includes(extension));
  const text = extension.length <= 4 ? extension.toUpperCase() : "";
  return make("span", { className: "badge", textContent: text, data: { kind: found?.[0] ?? "other" } });
}

async function remove(path, entry) {
  const question =
    entry.type === "folder"
      ? `Delete the folder “${entry.name}” and everything in it?`
      : `Delete “${entry.name}”?`;
  const choice = await ask(question, [["", "Cancel"], ["delete", "Delete", "danger"]]);
  if (choice === null) return;
  const query = entry.type === "folder" ? "?recursive=true" : "";
  await request(pathUrl("files", path) + query, { method: "DELETE" });
  openFolder(currentFolder());
}

async function createFolder() {
  const name = await ask("Name of the new folder", [["", "Cancel"], ["create", "Create", "primary"]], "");
  if (name === null) return;
  await request(pathUrl("folders", join(currentFolder(), name)), { method: "POST" });
  openFolder(currentFolder());
}

function freeName(name) {
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  let count = 2;
  while (names.has(`${stem} (${count})${extension}`)) count += 1;
  return `${stem} (${count})${extension}`;
}

// Names are settled first, one question after the other; then the uploads run, in order.
async function uploadAll(files) {
  const folder = currentFolder();
  for (const file of files) {
    let { name } = file;
    let overwrite = false;
    if (names.has(name)) {
      const choices = [["skip", "Skip"], ["replace", "Replace"], ["both", "Keep both", "primary"]];
      const choice = await ask(`“${name}” is here already.`, choices);
      if (choice === null || choice === "skip") continue;
      if (choice === "both") name = freeName(name);
      overwrite = choice === "replace";
    }
    names.add(name);
    const url = pathUrl("files", join(folder, name)) + (overwrite ? "?overwrite=true" : "");
    upload({ file, name, url, onDone: () => openFolder(currentFolder()) });
  }
}

function setUpDrop() {
  let depth = 0; // enter and leave come for each element passed over
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    byId("drop").hidden = false;
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    byId("drop").hidden = depth === 0;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    byId("drop").hidden = true;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) {
      toast("Folders cannot be dropped; open the folder and drop its files.");
    }
    const files = items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory);
    uploadAll(files.map((item) => item.getAsFile()));
  });
}

export function setUpFiles() {
  byId("new-folder").addEventListener("click", createFolder);
  byId("picker").addEventListener("change", (event) => {
    uploadAll([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  addEventListener("hashchange", () => openFolder(currentFolder()));
  setUpDrop();
  openFolder(currentFolder());
}
