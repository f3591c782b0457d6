// What happened: events, repeated ones as one row.
import { html } from "./html.js";
import { get, path } from "./api.js";
import { chosenTypes, families, SEVERITIES, typesOf } from "./event_types.js";
import { ago, count, when } from "./format.js";
import { kindLogged } from "./kinds.js";
import { useLive } from "./live.js";
import { go, link } from "./route.js";
import { Badge, Empty, Loaded, Pager, Title, useData, usePages } from "./ui.js";

const SIZE = 100;

/** How many events are asked for where some of them are shown, so that repeated ones leave room. */
export const GROUPED_FROM = 100;

/** Where the page of a thing of that *kind*, as events call it, is. */
const placeOf = (kind) => (kind === "node" || kind === "certificate" ? "nodes" : kindLogged(kind)?.place);

/** The message, with the name of what it is about as the way there. */
function About({ event, isOfOne }) {
  const { kind, name } = event.subject;
  const start = event.message.indexOf(name);
  if (isOfOne || !name || !placeOf(kind)) return event.message;
  if (start < 0) return html`${subjectLink(event.subject)} <span class="quiet">(${kind})</span> ${event.message}`;
  return html`${event.message.slice(0, start)}${subjectLink(event.subject)}${event.message.slice(start + name.length)}`;
}

const subjectLink = ({ kind, name }) => (placeOf(kind) ? html`<a href=${link([placeOf(kind), name])}>${name}</a>` : name);

const keyOf = ({ type, subject, data }) => [type, subject.kind, subject.name, data.cause, data.reason, data.fingerprintValue].join("\n");

/** Events of the same type, subject and cause as one: the newest, with how many there were since when. */
export function grouped(items) {
  const groups = new Map();
  for (const event of items) {
    const known = groups.get(keyOf(event));
    if (known) Object.assign(known, { count: known.count + event.count, firstTime: event.firstTime });
    else groups.set(keyOf(event), { ...event });
  }
  return [...groups.values()];
}

const Repeated = ({ event }) => html` <a class="quiet" href=${link(["events"], { type: event.type, name: event.subject.name, each: "yes" })} title=${`since ${when(event.firstTime)}`}>${count(event.count)} times</a>`;

/** Events, newest first, *most* at most. *isOfOne*: all are about what the page is about. */
export const EventList = ({ items, isOfOne, most = items.length }) =>
  items.length
    ? html`<ol class="events">
        ${items.slice(0, most).map(
          (event) => html`<li key=${event.id}>
            <${Badge} word=${event.type.split(".")[1]} />
            <span class="event-text"><${About} event=${event} isOfOne=${isOfOne} />${event.actor && html` <span class="quiet">by ${event.actor.name || event.actor.kind}</span>`}${event.count > 1 && html`<${Repeated} event=${event} />`}</span>
            <time datetime=${event.time} title=${when(event.time)}>${ago(event.time)}</time>
          </li>`,
        )}
      </ol>`
    : html`<${Empty} title="No events yet." />`;

export function Events({ query }) {
  const { type = "", name = "", severity = "", each = "" } = query;
  const types = severity || type ? chosenTypes(severity, type) : [];
  const isNone = (severity || type) && !types.length;
  const pages = usePages([...types, name]);
  const state = useData(
    (signal) => (isNone ? Promise.resolve({ total: 0, items: [], listOptions: {} }) : get(path("/v1/events", { type: types.join(","), name, limit: SIZE, continue: pages.token }), { signal })),
    [types.join(","), name, pages.token],
  );
  useLive(() => pages.number === 1, state.reload, 2000);
  const choose = (event) => {
    event.preventDefault();
    go(["events"], Object.fromEntries(new FormData(event.currentTarget.form || event.currentTarget)));
  };
  return html`
    <${Title}>Events<//>
    <form class="filters" onSubmit=${choose}>
      <label>Severity <select name="severity" value=${severity} onChange=${choose}><option value="">all</option>${SEVERITIES.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}</select></label>
      <label>Type <select name="type" value=${type} onChange=${choose}>
        <option value="">all</option>
        ${families().map((family) => html`<optgroup key=${family} label=${family}><option value=${family}>${family}: all</option>${typesOf(family).map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</optgroup>`)}
      </select></label>
      <label>Name <input name="name" value=${name} spellcheck=${false} /></label>
      <button type="submit">Filter</button>
      <label class="check"><input type="checkbox" name="each" value="yes" checked=${each === "yes"} onChange=${choose} /> each repetition on its own</label>
    </form>
    <${Loaded} state=${state} lines=${12} show=${(page) => html`
      ${page.items.length || !(severity || type || name) ? html`<${EventList} items=${each ? page.items : grouped(page.items)} />` : html`<${Empty} title="Nothing matches." />`}
      <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="event" />
    `} />
  `;
}
