// An app as YAML, read for the form and changed by it: comments, and what the form does not show, stay.
import { parseDocument } from "./vendor/yaml.js";

/** Sources of a volume: the key in YAML, the name for people, and where below it the value is. */
export const SOURCES = [
  ["config", "Config", ["name"]],
  ["secret", "Secret", ["name"]],
  ["hostPath", "Path of the node", ["path"]],
  ["emptyDir", "Empty directory", []],
];

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isListOfObjects = (value) => value === undefined || value === null || (Array.isArray(value) && value.every(isObject));
const isShaped = (app) =>
  isObject(app) &&
  isListOfObjects(app.services) &&
  isListOfObjects(app.volumes) &&
  (app.services || []).every((one) => ["ports", "env", "volumeMounts"].every((key) => isListOfObjects(one[key])));

/** The app that *text* describes, or why a form cannot show it: `{ app, problem }`. */
export function readApp(text) {
  const document = parseDocument(text);
  if (document.errors.length) return { app: null, problem: `The YAML has an error: ${document.errors[0].message.split("\n")[0]}` };
  const app = document.toJS() || {};
  if (!isShaped(app)) return { app: null, problem: "The YAML is not the description of an app." };
  if ((app.type && app.type !== "container") || app.mode === "native") return { app: null, problem: "The form is for apps that run containers." };
  return { app, problem: "" };
}

/** *text* after *act* has changed its document. */
function changed(text, act) {
  const document = parseDocument(text);
  act(document);
  return document.toString({ lineWidth: 0, indentSeq: !/^\w+:\n- /m.test(text) });
}

const isEmptyAt = (document, path) => !document.getIn(path, true)?.items?.length;

/** Remove what is at *path*, and what it leaves empty above it in a service. */
function removeAt(document, path) {
  document.deleteIn(path);
  const above = path.slice(0, -1);
  if (above.length && typeof above.at(-1) === "string" && above.at(-1) !== "services" && isEmptyAt(document, above)) removeAt(document, above);
}

/** *text* with *value* at *path*; nothing is left there for undefined. */
export const withValue = (text, path, value) =>
  changed(text, (document) => {
    if (value === undefined) removeAt(document, path);
    else document.setIn(path, value);
  });

function add(document, path, item) {
  if (isEmptyAt(document, path)) document.setIn(path, document.createNode([item]));
  else document.addIn(path, document.createNode(item));
}

/** *text* with another *item* at the end of the list at *path*. */
export const withItem = (text, path, item) => changed(text, (document) => add(document, path, item));

/** *text* without the item at *path*. */
export const withoutItem = (text, path) => changed(text, (document) => removeAt(document, path));

/** Where the volume of that *name* is in the list of *app*; -1 if it has none. */
export const volumeIndex = (app, name) => (app.volumes || []).findIndex((one) => one.name === name);

/** The source of a *volume*: its key, or "" for one that the form does not know. */
export const sourceOf = (volume) => SOURCES.find(([key]) => volume && volume[key] !== undefined)?.[0] || "";

const emptySource = (key) => (key === "emptyDir" ? {} : { [key === "hostPath" ? "path" : "name"]: "" });

/** *text* with another volume, of a config, that the service at *index* mounts. */
export function withMount(text, app, index) {
  const taken = new Set((app.volumes || []).map((one) => one.name));
  let name = "files";
  for (let number = 2; taken.has(name); number += 1) name = `files-${number}`;
  return changed(text, (document) => {
    add(document, ["volumes"], { name, config: { name: "" } });
    add(document, ["services", index, "volumeMounts"], { name, mountPath: "" });
  });
}

/** *text* with the source *key* for the volume of that *name*. */
export const withSource = (text, app, name, key) =>
  changed(text, (document) => {
    const at = volumeIndex(app, name);
    const volume = { name, [key]: emptySource(key) };
    if (at < 0) add(document, ["volumes"], volume);
    else document.setIn(["volumes", at], document.createNode(volume));
  });

/** *text* without a mount, nor its volume if nothing else mounts that. */
export function withoutMount(text, app, index, at) {
  const { name } = app.services[index].volumeMounts[at];
  const all = [...app.services, ...(app.initServices || [])].flatMap((one) => one.volumeMounts || []);
  const volume = volumeIndex(app, name);
  return changed(text, (document) => {
    removeAt(document, ["services", index, "volumeMounts", at]);
    if (volume >= 0 && all.filter((one) => one.name === name).length === 1) removeAt(document, ["volumes", volume]);
  });
}

/** *path* as the API writes it: `services[0].image`. */
export const pathText = (path) => path.reduce((text, step) => (typeof step === "number" ? `${text}[${step}]` : text ? `${text}.${step}` : step), "");
