// Logs of a node: the last lines, new ones as they arrive, a search in them, and a file of them.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { get, path, post, segment } from "./api.js";
import { Badge, Dialog, Failure, saveText } from "./ui.js";

const LINES = 200;
const WAIT_SECONDS = 20;
const FOLLOW_SECONDS = 600;
const SHOWN_CHARACTERS = 500_000;
const OPEN = new Set(["waiting", "sent"]);

/** Ask *node* for a log and hand each part to *onPart(text, answer)*, until it ends or *signal* is aborted. */
async function readLog(node, app, isFollowed, signal, onPart) {
  const base = `/v1/nodes/${segment(node)}/commands`;
  const wanted = { command: "logs", lines: LINES, ...(app ? { app } : {}), ...(isFollowed ? { follow: true, seconds: FOLLOW_SECONDS } : {}) };
  let answer = await post(base, wanted, { signal });
  let after = 0;
  onPart("", answer);
  do {
    answer = await get(path(`${base}/${segment(answer.id)}`, { wait: WAIT_SECONDS, after }), { signal });
    after = answer.outputEnd ?? after;
    onPart(answer.output || "", answer);
  } while (OPEN.has(answer.status));
}

/** Lines of *text* that have *wanted* in them, whatever the case. */
export const matching = (text, wanted) => (wanted ? text.split("\n").filter((line) => line.toLowerCase().includes(wanted.toLowerCase())).join("\n") : text);

export function LogViewer({ name, apps, onClose }) {
  const [app, setApp] = useState(apps[0] || "");
  const [isFollowed, follow] = useState(true);
  const [turn, again] = useState(0);
  const [text, setText] = useState("");
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const [wanted, search] = useState("");
  const output = useRef();
  const isAtEnd = useRef(true);
  useEffect(() => {
    const mine = new AbortController();
    setText("");
    setError(null);
    setAnswer(null);
    readLog(name, app, isFollowed, mine.signal, (part, latest) => {
      setAnswer(latest);
      if (part) setText((before) => (before + part).slice(-SHOWN_CHARACTERS));
    }).catch((failed) => mine.signal.aborted || setError(failed));
    return () => mine.abort();
  }, [name, app, isFollowed, turn]);
  const shown = useMemo(() => matching(text, wanted), [text, wanted]);
  useEffect(() => {
    if (output.current && isAtEnd.current) output.current.scrollTop = output.current.scrollHeight;
  }, [shown]);
  const scrolled = ({ currentTarget: one }) => {
    isAtEnd.current = one.scrollHeight - one.scrollTop - one.clientHeight < 20;
  };
  return html`
    <${Dialog} title=${`Logs of ${name}`} onClose=${onClose} wide>
      <div class="row">
        <label>Of <select value=${app} onChange=${(event) => setApp(event.currentTarget.value)}>
          ${apps.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}<option value="">the agent itself</option>
        </select></label>
        <label>Lines with <input type="search" value=${wanted} spellcheck=${false} onInput=${(event) => search(event.currentTarget.value)} /></label>
        <label class="check"><input type="checkbox" checked=${isFollowed} onChange=${(event) => follow(event.currentTarget.checked)} /> Follow</label>
        <button type="button" disabled=${!text} onClick=${() => saveText(`${name}-${app || "agent"}.log`, text)}>Download</button>
        ${answer && !OPEN.has(answer.status) && html`<button type="button" onClick=${() => again(turn + 1)}>Read again</button>`}
      </div>
      ${error && html`<${Failure} error=${error} />`}
      ${answer && html`<p role="status"><${Badge} word=${answer.status} /> ${answer.cause || (OPEN.has(answer.status) && isFollowed ? "new lines appear as the node sends them" : "")}</p>`}
      <pre ref=${output} class="output" tabindex="0" aria-label="Log" onScroll=${scrolled}>${shown}</pre>
    <//>
  `;
}
