// What pages are made of.
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { ago, plural, when } from "./format.js";
import { link } from "./route.js";

const PATHS = {
  overview: "M3 12 12 4l9 8M6 10v10h12V10",
  nodes: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01",
  apps: "M12 3 3 8v8l9 5 9-5V8zM3 8l9 5 9-5M12 13v8",
  configs: "M4 7h10M18 7h2M4 12h2M10 12h10M4 17h10M18 17h2M14 5v4M6 10v4M14 15v4",
  secrets: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  registries: "M12 3c4.400 0 8 1.300 8 3s-3.600 3-8 3-8-1.300-8-3 3.600-3 8-3zM4 6v12c0 1.700 3.600 3 8 3s8-1.300 8-3V6M4 12c0 1.700 3.600 3 8 3s8-1.300 8-3",
  batches: "M4 8h16v12H4zM2 4h20v4H2zM10 12h4",
  certificates: "M12 3l7 3v5c0 4.500-3 8-7 10-4-2-7-5.500-7-10V6zM9 12l2 2 4-4",
  events: "M13 3 5 14h6l-1 7 8-11h-6z",
  audit: "M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h7",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6 6 18",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  out: "M14 4H5v16h9M10 12h11M17 8l4 4-4 4",
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16 16l5 5",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  plus: "M12 5v14M5 12h14",
  tokens: "M14 10a4 4 0 1 1-4-4 4 4 0 0 1 4 4zM13 13l8 8M18 18l2-2",
  callbacks: "M4 12h12M11 7l5 5-5 5M20 5v14",
  other: "M5 5h6v6H5zM13 13h6v6h-6zM13 5h6v6h-6zM5 13h6v6H5z",
  rollouts: "M4 18h4v-4h4v-4h4V6h4M16 6h4v4",
  namespaces: "M3 7h7l2 2h9v10H3zM3 7V5h6",
  channels: "M6 17v-6a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
  notificationrules: "M4 5h16l-6 7v6l-4 2v-8z",
  guard: "M12 3l7 3v5c0 4.500-3 8-7 10-4-2-7-5.500-7-10V6zM12 8v5M12 16h.01",
};

export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d=${PATHS[name] || PATHS.other} />
  </svg>
`;

/** Load with *loader(signal)* now and whenever *keys* change; what was there stays until then. */
export function useData(loader, keys) {
  const [state, setState] = useState({ data: undefined, error: null, isLoading: true });
  const run = useRef(null);
  const latest = useRef();
  latest.current = loader;
  const load = useCallback(async () => {
    if (run.current) run.current.abort();
    const mine = new AbortController();
    run.current = mine;
    setState((before) => ({ ...before, isLoading: true }));
    try {
      const data = await latest.current(mine.signal);
      if (!mine.signal.aborted) setState({ data, error: null, isLoading: false });
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError") return;
      setState((before) => ({ data: before.data, error, isLoading: false }));
    }
  }, []);
  useEffect(() => {
    load();
    return () => run.current && run.current.abort();
  }, keys);
  return { ...state, reload: load };
}

/** Call *act* every so many milliseconds while the page is looked at. */
export function useRepeated(act, milliseconds) {
  const latest = useRef();
  latest.current = act;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || latest.current(), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}

/** The heading of a page: names the document, and is where one is after going there. */
export function Title({ children, text, above, actions }) {
  const heading = useRef();
  const name = text || children;
  useLayoutEffect(() => {
    document.title = `${name} · edgesync`;
  }, [name]);
  useEffect(() => {
    scrollTo(0, 0);
    if (Title.isMoved) heading.current.focus({ preventScroll: true });
    Title.isMoved = true;
  }, [name]);
  return html`
    <div class="title">
      <div class="title-text">
        ${above && html`<p class="above"><a href=${above.href}><${Icon} name="back" />${above.text}</a></p>`}
        <h1 ref=${heading} tabindex="-1">${children}</h1>
      </div>
      ${actions && html`<div class="actions">${actions}</div>`}
    </div>
  `;
}
Title.isMoved = false;

export const Time = ({ at, none = "never" }) =>
  at ? html`<time datetime=${at} title=${when(at)}>${ago(at)}</time>` : html`<span class="quiet short">${none}</span>`;

const TONES = {
  online: "good", Running: "good", converged: "good", ready: "good", activated: "good", created: "good", done: "good",
  stale: "warn", pending: "warn", Pending: "warn", waiting: "warn", sent: "warn", removing: "warn", ending: "warn",
  offline: "bad", failed: "bad", Failed: "bad", lost: "bad", revoked: "bad", refused: "bad", deleted: "bad", expired: "bad",
};
export const Badge = ({ word, tone, children }) =>
  html`<span class=${`badge ${tone || TONES[word] || "plain"}`}>${children || word}</span>`;

export function Failure({ error, again }) {
  return html`
    <div class="failure" role="alert">
      <p><strong>${error.status === 404 ? "Not found" : error.status === 403 ? "Not allowed" : "This did not work"}</strong></p>
      <p>${error.message}</p>
      <p class="quiet">
        ${error.code && html`<code>${error.code}</code> `}
        ${error.requestId && html`request <code>${error.requestId}</code>`}
      </p>
      ${again && html`<button type="button" onClick=${again}>Try again</button>`}
    </div>
  `;
}

export const Empty = ({ title, children }) => html`<div class="empty"><p><strong>${title}</strong></p>${children}</div>`;

export const Skeleton = ({ lines = 5 }) => html`
  <div class="skeleton" role="status" aria-label="Loading">${Array.from({ length: lines }, () => html`<span></span>`)}</div>
`;

/** What *state* of `useData` has: bones, a failure, or what *show* makes of the data. */
export function Loaded({ state, show, lines }) {
  if (state.data !== undefined)
    return html`${state.error && html`<${Failure} error=${state.error} again=${state.reload} />`}${show(state.data)}`;
  if (state.error?.code === "RequestMethodNotFound") return html`<${Empty} title="Not available on this server." />`;
  if (state.error) return html`<${Failure} error=${state.error} again=${state.reload} />`;
  return html`<${Skeleton} lines=${lines} />`;
}

/** A component whose module is loaded when it is first shown: *load* imports it. */
export const deferred = (load) => (properties) => {
  const state = useData(load, []);
  if (!state.data) return html`<${Loaded} state=${state} />`;
  const Component = state.data;
  return html`<${Component} ...${properties} />`;
};

/** The head of a column; one with `sort` orders the list by it, again the other way. */
function Head({ column, sort, onSort }) {
  if (!column.sort || !onSort) return html`<th scope="col" class=${column.kind || ""}>${column.name}</th>`;
  const field = sort.replace("-", "");
  const isIt = field === column.sort;
  const isDown = isIt && sort.startsWith("-");
  const next = isIt ? `${isDown ? "" : "-"}${field}` : `${column.isDownFirst ? "-" : ""}${column.sort}`;
  return html`<th scope="col" class=${column.kind || ""} aria-sort=${isIt ? (isDown ? "descending" : "ascending") : undefined}>
    <button type="button" class="bare sort" onClick=${() => onSort(next)}>${column.name}<span aria-hidden="true">${isIt ? (isDown ? "↓" : "↑") : ""}</span></button>
  </th>`;
}

/**
 * A table that is a list of cards on a phone. *columns*: `{ name, show, kind, sort, isDownFirst }`;
 * *picks* from `usePicks` gives each row a box to tick.
 */
export const Table = ({ caption, columns, items, keyOf, sort = "", onSort, picks, isDense }) => html`
  <div class="table-frame">
    <table class=${isDense ? "dense" : ""}>
      <caption class="hidden">${caption}</caption>
      <thead><tr>
        ${picks && html`<td class="pick"><input type="checkbox" aria-label="Select all on this page" checked=${picks.hasAll(items.map(keyOf))} onChange=${(event) => picks.pick(items.map(keyOf), event.currentTarget.checked)} /></td>`}
        ${columns.map((column) => html`<${Head} key=${column.name} column=${column} sort=${sort} onSort=${onSort} />`)}
      </tr></thead>
      <tbody>
        ${items.map(
          (item) => html`
            <tr key=${keyOf(item)}>
              ${picks && html`<td class="pick"><input type="checkbox" aria-label=${`Select ${keyOf(item)}`} checked=${picks.has(keyOf(item))} onChange=${(event) => picks.pick([keyOf(item)], event.currentTarget.checked)} /></td>`}
              ${columns.map((column, index) =>
                index
                  ? html`<td class=${column.kind || ""} data-name=${column.name}>${column.show(item)}</td>`
                  : html`<th scope="row">${column.show(item)}</th>`,
              )}
            </tr>
          `,
        )}
      </tbody>
    </table>
  </div>
`;

/** The rows that are ticked, by key, on whatever page; none when *keys* change. */
export function usePicks(keys) {
  const [state, setState] = useState({ of: "", names: new Set() });
  const of = keys.join("\n");
  const names = state.of === of ? state.names : new Set();
  return {
    names,
    has: (name) => names.has(name),
    hasAll: (some) => some.length > 0 && some.every((name) => names.has(name)),
    pick: (some, isPicked) => {
      const after = new Set(names);
      for (const name of some) isPicked ? after.add(name) : after.delete(name);
      setState({ of, names: after });
    },
    clear: () => setState({ of, names: new Set() }),
  };
}

/** Labels, the longest list cut short. */
export function Labels({ labels, most = 4 }) {
  const all = Object.entries(labels || {});
  if (!all.length) return html`<span class="quiet">none</span>`;
  return html`<span class="labels">
    ${all.slice(0, most).map(([key, value]) => html`<span class="label" key=${key}>${key}=<b>${value}</b></span>`)}
    ${all.length > most && html`<span class="quiet">and ${all.length - most} more</span>`}
  </span>`;
}

/** Which part of a list is shown, and the way on and back; *pages* from `usePages`. */
export const Pager = ({ pages, page, noun, nouns }) => html`
  <nav class="pager" aria-label="Pages">
    <span role="status">${plural(page.total, noun, nouns)}${pages.number > 1 || page.next ? `, page ${pages.number}` : ""}</span>
    ${(pages.number > 1 || page.next) &&
    html`<span class="pager-buttons">
      <button type="button" disabled=${pages.number === 1} onClick=${pages.back}>Previous</button>
      <button type="button" disabled=${!page.next} onClick=${() => pages.forward(page.next)}>Next</button>
    </span>`}
  </nav>
`;

/** Tokens of the pages one came by; the first page again when *keys* change. */
export function usePages(keys) {
  const [state, setState] = useState({ key: "", tokens: [""] });
  const key = keys.join("\n");
  const tokens = state.key === key ? state.tokens : [""];
  return {
    token: tokens[tokens.length - 1],
    number: tokens.length,
    forward: (token) => setState({ key, tokens: [...tokens, token] }),
    back: () => setState({ key, tokens: tokens.slice(0, -1) }),
  };
}

/** A dialog over the page; Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, onClose, children, actions, wide }) {
  const element = useRef();
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    // A field of it, or else what changes nothing: not the button in its corner, nor what deletes.
    const field = element.current.querySelector(".dialog-body :is(input, select, textarea):not([type=hidden])");
    (field || element.current.querySelector(".dialog-foot button") || element.current.querySelector("button")).focus();
    return () => before && before.focus && before.focus();
  }, []);
  return html`
    <dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby="dialog-title"
      onCancel=${(event) => { event.preventDefault(); onClose(); }}>
      <div class="dialog-head">
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="bare" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>
      </div>
      <div class="dialog-body">${children}</div>
      ${actions && html`<div class="dialog-foot">${actions}</div>`}
    </dialog>
  `;
}

/** Ask before *act* is called; what it throws is shown. */
export function Confirm({ title, words, act, label, onClose }) {
  const [error, setError] = useState(null);
  const run = async () => {
    try {
      await act();
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="button" class="danger" onClick=${run}>${label}</button>`}>
    <p>${words}</p>${error && html`<${Failure} error=${error} />`}
  <//>`;
}

/** Tabs as links, so that each has an address. */
export const Tabs = ({ tabs, current, parts, label }) => html`
  <nav class="tabs" aria-label=${label}>
    ${tabs.map(
      ([key, name]) => html`<a key=${key} href=${link(parts, key === tabs[0][0] ? {} : { tab: key })} aria-current=${key === current ? "page" : undefined}>${name}</a>`,
    )}
  </nav>
`;

/** A unified diff, line by line. */
export const Diff = ({ text }) =>
  text
    ? html`<pre class="diff" tabindex="0" aria-label="Difference">${text
        .replace(/\n$/, "")
        .split("\n")
        .map((line) => html`<span class=${/^(\+\+\+|---|@@)/.test(line) ? "place" : line[0] === "+" ? "more" : line[0] === "-" ? "less" : ""}>${line}\n</span>`)}</pre>`
    : html`<p class="quiet">No difference.</p>`;

const shown = (value) => (value === null || value === undefined ? "nothing" : typeof value === "string" ? value : JSON.stringify(value));

/** What changes where, before and after. */
export const Changes = ({ changes }) => html`
  <dl class="changes">
    ${changes.map(
      (change) => html`
        <div key=${change.path}>
          <dt><code>${change.path || "all of it"}</code></dt>
          <dd><del>${shown(change.before)}</del> <span aria-hidden="true">→</span> <ins>${shown(change.after)}</ins></dd>
        </div>
      `,
    )}
  </dl>
`;

/** Have the browser save *text* as a file of that *name*. */
export function saveText(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

/** Something to copy. */
export function Copyable({ text, label }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      setCopied(false);
    }
  };
  return html`<div class="copyable">
    <pre tabindex="0" aria-label=${label}>${text}</pre>
    <button type="button" onClick=${copy}>${isCopied ? "Copied" : "Copy"}</button>
  </div>`;
}
