// Images that are attached to the next message: by the button, by paste, by drop.

import { $, button, element, say } from "./dom.js";

const LONGEST = 2048; // pixels; models scale images down further
const PLAIN = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 1000000; // eight images, as base64, in the 8 MiB of a request
const MOST = 8;

let list = [];
let changed = () => {};

export const attached = () => list.length > 0;

// The attached images, which are attached no longer.
export function taken() {
  const found = list;
  set([]);
  return found;
}

// `sees`: whether the model takes images; `failed` is told of files that are none.
export function listenForImages(sees, onChange, failed) {
  changed = onChange;
  const add = (files) => {
    if (sees()) added([...files], failed);
  };
  $("attach").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    add($("files").files);
    $("files").value = "";
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files || [])].filter((file) => file.type.startsWith("image/"));
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    add(files);
  });
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // else the browser would leave the page for the file
      document.body.classList.toggle("dropping", name === "dragover" && Boolean(sees()));
      if (name === "drop") add(event.dataTransfer.files);
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
}

async function added(files, failed) {
  for (const file of files) {
    if (list.length >= MOST) {
      failed(new Error(`a message takes ${MOST} images`));
      break;
    }
    try {
      const url = await read(file);
      set([...list, url]);
    } catch {
      failed(new Error(`${file.name || "the file"} is no image that this browser reads`));
    }
  }
  if (list.length) say(`${list.length === 1 ? "One image" : `${list.length} images`} attached`);
  $("text").focus();
}

// A data URL; of a large image, one that is scaled down, so that the request stays small.
async function read(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && PLAIN.includes(file.type) && file.size < MOST_BYTES) {
    bitmap.close();
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.onerror = failed;
      reader.readAsDataURL(file);
    });
  }
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.85);
}

function set(found) {
  list = found;
  $("tray").hidden = !list.length;
  $("tray").replaceChildren(...list.map((url, index) => {
    const remove = button("close", `Remove image ${index + 1}`, () => {
      set(list.filter((_, other) => other !== index));
      $("text").focus();
    });
    return element("div", { class: "thumb" }, picture(url, `Attached image ${index + 1}`), remove);
  }));
  changed();
}

function picture(url, alt) {
  return element("img", { src: url, alt });
}

// The images of a message, above its text.
export function pictures(message) {
  return (message.images || []).map((url, index) => picture(url, `Image ${index + 1}`));
}

// The content of a message as OpenAI's API has it.
export function contentOf({ content, images }) {
  if (!images?.length) return content;
  return [
    ...images.map((url) => ({ type: "image_url", image_url: { url } })),
    ...(content ? [{ type: "text", text: content }] : []),
  ];
}

// The images of such a content. Others than data URLs would be fetched by the browser.
export function imagesOf(content) {
  if (!Array.isArray(content)) return [];
  return content.map((part) => part?.image_url?.url).filter((url) => /^data:image\//.test(url || ""));
}
