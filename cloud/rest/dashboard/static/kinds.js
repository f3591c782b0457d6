// The kinds of things an operator describes, as the server lists them: where they are, how a list shows them.
import { html } from "./html.js";
import { get } from "./api.js";
import { link } from "./route.js";
import { Labels, Time } from "./ui.js";

// Kinds with a page of their own, or that are a part of another one's.
const ELSEWHERE = new Set(["nodes"]);
// Those that are used most come first in the menu.
const FIRST = ["apps", "configs", "secrets", "registries", "batches"];
const ROLES = ["viewer", "operator", "admin"];
const WIDE = new Set(["description", "selector"]);

const known = { kinds: [], logNames: [] };

const isEmpty = (value) => value === undefined || value === null || value === "";
const valueAt = (thing, path) => path.split(".").reduce((found, step) => (isEmpty(found) ? found : found[step]), thing);

const FORMS = {
  text: (value) => String(value),
  number: (value) => String(value),
  age: (value) => html`<${Time} at=${value} />`,
  flag: (value) => (value ? "yes" : "no"),
  share: (value) => `${Math.round(value * 100)} %`,
  labels: (value) => html`<${Labels} labels=${value} most=${3} />`,
  names: (value) => value.map((one) => one.name ?? one).join(", "),
  selector: (value) => html`<code>${value}</code>`,
};
const NOTHING = {
  age: () => html`<${Time} />`,
  labels: () => html`<${Labels} />`,
  selector: () => html`<span class="quiet">none</span>`,
};

function shown(form, value) {
  if (isEmpty(value)) return NOTHING[form] ? NOTHING[form]() : "";
  return (FORMS[form] || FORMS.text)(value);
}

function column(place, { title, path, form }) {
  const name = title;
  if (path === "name") return { name, show: (item) => html`<a href=${link([place, item.name])}>${item.name}</a>` };
  const kind = form === "number" ? "number" : WIDE.has(path) ? "wide" : "";
  return { name, kind, show: (item) => shown(form, valueAt(item, path)) };
}

/** *word*, which begins like the *name* of its kind, with that one's words apart. */
const apart = (name, word) => [...word].map((mark, at) => (at && name[at] && name[at] !== name[at].toLowerCase() ? ` ${mark}` : mark)).join("");
const capitalised = (word) => word[0].toUpperCase() + word.slice(1);

function kindOf(one) {
  const place = one.plural;
  return {
    place,
    path: one.path,
    one: apart(one.name, one.singular),
    many: capitalised(apart(one.name, one.plural)),
    logName: one.logName,
    readRole: one.readRole,
    changeRole: one.changeRole,
    readOnly: one.readOnly,
    hasRevisions: one.revisions,
    hasSelector: one.labels,
    isNumbered: one.numbered,
    isSecret: one.readLogged,
    isBatch: place === "batches",
    users: one.usedByApps,
    columns: one.columns.filter((each) => !each.wide || each.form === "labels").map((each) => column(place, each)),
    help: one.summary,
    template: one.example || 'name: ""\n',
  };
}

const rank = (kind) => (FIRST.includes(kind.place) ? FIRST.indexOf(kind.place) : FIRST.length);

/** Ask the server which kinds there are. */
export async function loadKinds() {
  const { items } = await get("/v1/kinds");
  known.logNames = items.filter((one) => one.events).map((one) => one.logName);
  const own = items.filter((one) => !one.single && !one.parent && !ELSEWHERE.has(one.plural));
  known.kinds = own.map(kindOf).sort((one, other) => rank(one) - rank(other));
}

/** All kinds with a list and pages of their own, in the order of the menu. */
export const kinds = () => known.kinds;

/** The kind whose list is at that *place*. */
export const kindAt = (place) => known.kinds.find((kind) => kind.place === place);

/** The kind that events call *word*. */
export const kindLogged = (word) => known.kinds.find((kind) => kind.logName === word);

/** What events call each kind that has events, those without pages too. */
export const logNames = () => known.logNames;

const includes = (role, least) => ROLES.indexOf(role) >= ROLES.indexOf(least);

/** Whether who is signed in may change things of the *kind*. */
export const mayChange = (kind, session) => includes(session.role, kind.changeRole);

/** Whether they may see one. */
export const mayRead = (kind, session) => includes(session.role, kind.readRole);
