// The common case of an app as a form. It writes YAML: what it does not show stays as it is there.
import { html, useEffect, useRef, useState } from "./html.js";
import { get, path as address } from "./api.js";
import { pathText, readApp, SOURCES, sourceOf, volumeIndex, withItem, withMount, withoutItem, withoutMount, withSource, withValue } from "./app_text.js";
import { Empty, Failure, Icon, useData } from "./ui.js";

const SUGGESTED = 100;
const SHOWN = new Set(["name", "description", "type", "selector", "services", "volumes"]);
const SHOWN_OF_SERVICE = new Set(["name", "image", "replica", "ports", "env", "volumeMounts", "restart", "resources"]);
const RESTARTS = [["", "as the node decides"], ["Always", "always"], ["OnFailure", "after a failure"], ["Never", "never"]];
const PROTOCOLS = [["", "TCP"], ["UDP", "UDP"]];

const asNumber = (text) => (/^\d{1,9}$/.test(text) ? Number(text) : text);
const textOf = (value) => (value === undefined || value === null ? "" : String(value));
const idOf = (path) => `field-${pathText(path).replace(/[^\w]+/g, "-")}`;

/** Whether *error* is about what is at *path*, or about a part of it that has no field of its own. */
const isAbout = (error, path) => {
  const text = pathText(path);
  return Boolean(error?.field) && (error.field === text || error.field.startsWith(`${text}.`) || error.field.startsWith(`${text}[`));
};

/**
 * A field for what is at *path*. *form*: `{ error, set }`. An empty one is left out of the YAML
 * unless *isKept*. *options* makes it a choice, *list* names suggestions, *own* tells two fields of one path apart.
 */
function Field({ form, path, value, label, hint, isNumber, isKept, options, list, placeholder, own = "" }) {
  const id = `${idOf(path)}${own}`;
  const isWrong = isAbout(form.error, path);
  const notes = [hint && `${id}-hint`, isWrong && `${id}-error`].filter(Boolean).join(" ");
  const change = (event) => {
    const text = event.currentTarget.value;
    form.set(path, text === "" && !isKept ? undefined : isNumber ? asNumber(text) : text);
  };
  const shared = { id, value: textOf(value), "data-field": pathText(path), "aria-invalid": isWrong ? "true" : undefined, "aria-describedby": notes || undefined };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${options
      ? html`<select ...${shared} onChange=${change}>${options.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}</select>`
      : html`<input ...${shared} inputmode=${isNumber ? "numeric" : undefined} list=${list} placeholder=${placeholder} spellcheck=${false} autocapitalize="off" autocomplete="off" onInput=${change} />`}
    ${hint && html`<span class="quiet" id=${`${id}-hint`}>${hint}</span>`}
    ${isWrong && html`<span class="bad-text" id=${`${id}-error`}>${form.error.message}</span>`}
  </div>`;
}

/** A list of rows, each with a button that removes it. *show(item, at)* is what is in a row. */
const Rows = ({ title, noun, items, show, onAdd, onRemove }) => html`
  <fieldset class="rows"><legend>${title}</legend>
    ${items.map((item, at) => html`<div class="row" key=${at} role="group" aria-label=${`${noun} ${at + 1}`}>
      ${show(item, at)}
      <button type="button" class="bare" aria-label=${`Remove ${noun} ${at + 1}`} onClick=${() => onRemove(at)}><${Icon} name="close" /></button>
    </div>`)}
    <button type="button" onClick=${onAdd}><${Icon} name="plus" />Add ${noun}</button>
  </fieldset>
`;

function Mount({ form, app, index, mount, at }) {
  const volume = volumeIndex(app, mount.name);
  const key = sourceOf(app.volumes?.[volume]);
  const below = SOURCES.find(([source]) => source === key)?.[2] || [];
  const own = ["services", index, "volumeMounts", at];
  const id = idOf([...own, "source"]);
  return html`
    <div class="field"><label for=${id}>From</label>
      <select id=${id} value=${key} onChange=${(event) => form.replace(withSource(form.text, app, mount.name, event.currentTarget.value))}>
        ${!key && html`<option value="">${mount.name}: as in the YAML</option>`}
        ${SOURCES.map(([source, words]) => html`<option key=${source} value=${source}>${words}</option>`)}
      </select>
    </div>
    ${below.length > 0 && html`<${Field} form=${form} path=${["volumes", volume, key, ...below]} value=${app.volumes[volume][key]?.[below[0]]} label=${key === "hostPath" ? "Path of the node" : "Name"} isKept own=${`-${index}-${at}`} list=${key === "hostPath" ? undefined : `${key}-names`} />`}
    <${Field} form=${form} path=${[...own, "mountPath"]} value=${mount.mountPath} label="Path in the container" isKept placeholder="/etc/app" />
  `;
}

function ServiceFields({ form, app, service, index, isOnly }) {
  const at = ["services", index];
  const others = Object.keys(service).filter((key) => !SHOWN_OF_SERVICE.has(key));
  const item = (list, empty) => ({
    items: service[list] || [],
    onAdd: () => form.replace(withItem(form.text, [...at, list], empty)),
    onRemove: (row) => form.replace(withoutItem(form.text, [...at, list, row])),
  });
  return html`<fieldset class="card service"><legend>Service ${textOf(service.name) || index + 1}</legend>
    <div class="fields">
      <${Field} form=${form} path=${[...at, "name"]} value=${service.name} label="Name of the service" isKept />
      <${Field} form=${form} path=${[...at, "image"]} value=${service.image} label="Image" placeholder="nginx:1.29" />
      <${Field} form=${form} path=${[...at, "replica"]} value=${service.replica} label="Replicas" isNumber placeholder="1" />
      <${Field} form=${form} path=${[...at, "restart", "policy"]} value=${service.restart?.policy} label="Restart" options=${RESTARTS} />
      <${Field} form=${form} path=${[...at, "resources", "limits", "cpu"]} value=${service.resources?.limits?.cpu} label="CPU limit" placeholder="500m" />
      <${Field} form=${form} path=${[...at, "resources", "limits", "memory"]} value=${service.resources?.limits?.memory} label="Memory limit" placeholder="256Mi" />
    </div>
    <${Rows} title="Ports" noun="port" ...${item("ports", { containerPort: "", hostPort: "" })} show=${(port, row) => html`
      <${Field} form=${form} path=${[...at, "ports", row, "hostPort"]} value=${port.hostPort} label="Port of the node" isNumber isKept />
      <${Field} form=${form} path=${[...at, "ports", row, "containerPort"]} value=${port.containerPort} label="Port in the container" isNumber isKept />
      <${Field} form=${form} path=${[...at, "ports", row, "protocol"]} value=${port.protocol === "TCP" ? "" : port.protocol} label="Protocol" options=${PROTOCOLS} />`} />
    <${Rows} title="Environment" noun="variable" ...${item("env", { name: "", value: "" })} show=${(variable, row) => html`
      <${Field} form=${form} path=${[...at, "env", row, "name"]} value=${variable.name} label="Name" isKept />
      <${Field} form=${form} path=${[...at, "env", row, "value"]} value=${variable.value} label="Value" isKept />`} />
    <${Rows} title="Files" noun="mount" items=${service.volumeMounts || []} onAdd=${() => form.replace(withMount(form.text, app, index))}
      onRemove=${(row) => form.replace(withoutMount(form.text, app, index, row))}
      show=${(mount, row) => html`<${Mount} form=${form} app=${app} index=${index} mount=${mount} at=${row} />`} />
    ${others.length > 0 && html`<p class="quiet">Also set, in the YAML: ${others.join(", ")}</p>`}
    ${!isOnly && html`<button type="button" onClick=${() => form.replace(withoutItem(form.text, at))}>Remove this service</button>`}
  </fieldset>`;
}

/** Names to choose from; none where they cannot be read. */
function Names({ kind }) {
  const state = useData((signal) => get(address(`/v1/${kind}s`, { limit: SUGGESTED }), { signal }), [kind]);
  return html`<datalist id=${`${kind}-names`}>${(state.data?.items || []).map((one) => html`<option key=${one.name} value=${one.name}></option>`)}</datalist>`;
}

/** *text* as a form; *onChange* gets the text as the form changes it. *error* is an `ApiError` or null. */
export function AppForm({ text, error, isNew, onChange }) {
  const root = useRef();
  const [isPlaced, setPlaced] = useState(true);
  const { app, problem } = readApp(text);
  useEffect(() => {
    const wrong = error && root.current?.querySelector('[aria-invalid="true"]');
    setPlaced(!error || Boolean(wrong));
    if (wrong) wrong.focus();
  }, [error]);
  if (problem) return html`<${Empty} title=${problem}><p>It can be changed as YAML.</p><//>`;
  const form = { text, error, replace: onChange, set: (path, value) => onChange(withValue(text, path, value)) };
  const services = app.services || [];
  const others = Object.keys(app).filter((key) => !SHOWN.has(key));
  return html`<div class="app-form" ref=${root}>
    ${!isPlaced && html`<${Failure} error=${error} />`}
    <div class="fields">
      ${isNew && html`<${Field} form=${form} path=${["name"]} value=${app.name} label="Name" isKept />`}
      <${Field} form=${form} path=${["selector"]} value=${app.selector} label="Selector" hint="Labels of the nodes that run it, as role=gateway, site in (north, south)." />
      <${Field} form=${form} path=${["description"]} value=${app.description} label="Description" />
    </div>
    ${services.map((service, index) => html`<${ServiceFields} key=${index} form=${form} app=${app} service=${service} index=${index} isOnly=${services.length === 1} />`)}
    <button type="button" onClick=${() => onChange(withItem(text, ["services"], { name: "", image: "" }))}><${Icon} name="plus" />Add service</button>
    ${others.length > 0 && html`<p class="quiet">Also set, in the YAML: ${others.join(", ")}</p>`}
    <${Names} kind="config" /><${Names} kind="secret" />
  </div>`;
}
