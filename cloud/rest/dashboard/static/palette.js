// The command palette: Ctrl+K, and then a part of a name leads to a page, a node or an app.
import { html, useEffect, useRef, useState } from "./html.js";
import { get, path } from "./api.js";
import { isPartOfName } from "./nodes.js";
import { go } from "./route.js";
import { Dialog } from "./ui.js";

const SHOWN = 8;
const PAUSE = 150;
const SOURCES = [["node", "nodes", "/v1/nodes"], ["app", "apps", "/v1/apps"], ["config", "configs", "/v1/configs"]];

/** Pages whose name has *text* in it, and then nodes, apps and configs. */
async function find(text, pages, signal) {
  const wanted = text.trim().toLowerCase();
  const named = pages.filter(([, name]) => name.toLowerCase().includes(wanted)).map(([key, name]) => ({ words: name, kind: "page", to: key ? [key] : [] }));
  if (!wanted || !isPartOfName(wanted)) return named;
  const lists = await Promise.all(
    SOURCES.map(async ([kind, place, target]) => {
      const found = await get(path(target, { limit: SHOWN, fieldSelector: `metadata.name=*${wanted}*` }), { signal });
      return found.items.map((item) => ({ words: item.name, kind, to: [place, item.name] }));
    }),
  );
  return [...named, ...lists.flat()];
}

export function Palette({ pages, onClose }) {
  const [text, setText] = useState("");
  const [items, setItems] = useState([]);
  const [at, setAt] = useState(0);
  const list = useRef();
  // The text that the items are of, and whether Enter was pressed before they were there.
  const found = useRef({ text: null, isAwaited: false });
  useEffect(() => {
    const mine = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const matches = (await find(text, pages, mine.signal)).slice(0, 3 * SHOWN);
        if (found.current.isAwaited && matches.length) return choose(matches[0]);
        found.current = { text, isAwaited: false };
        setItems(matches);
        setAt(0);
      } catch {
        /* aborted by the next letter, or the server is away, which the banner shows */
      }
    }, text ? PAUSE : 0);
    return () => {
      clearTimeout(timer);
      mine.abort();
    };
  }, [text]);
  const choose = (item) => {
    onClose();
    go(item.to);
  };
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) {
      event.preventDefault();
      const next = (at + step + items.length) % items.length;
      setAt(next);
      list.current.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (found.current.text !== text) found.current.isAwaited = true;
      else if (items[at]) choose(items[at]);
    }
  };
  return html`<${Dialog} title="Go to" onClose=${onClose}>
    <input type="search" role="combobox" aria-label="Part of a name" aria-expanded="true" aria-controls="palette-items" aria-activedescendant=${items[at] ? `palette-${at}` : undefined}
      autofocus spellcheck=${false} autocapitalize="off" autocomplete="off" value=${text} placeholder="a node, an app, a page" onKeyDown=${keys} onInput=${(event) => setText(event.currentTarget.value)} />
    <ul id="palette-items" ref=${list} class="palette" role="listbox" aria-label="Places">
      ${items.map(
        (item, index) => html`<li key=${`${item.kind}/${item.words}`} id=${`palette-${index}`} role="option" aria-selected=${index === at} onClick=${() => choose(item)}>
          <span>${item.words}</span> <span class="quiet">${item.kind}</span>
        </li>`,
      )}
    </ul>
    ${text && !items.length && html`<p class="quiet" role="status">Nothing has this in its name.</p>`}
  <//>`;
}

/** Whether the palette is open; Ctrl+K or ⌘K opens it. */
export function usePalette() {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const hear = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setOpen(true);
      }
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
  return [isOpen, setOpen];
}
