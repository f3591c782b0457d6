// Logs of a node: the last lines, new ones as they arrive, a search in them, and a file of them.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { askNode, isOpen } from "./ask_node.js";
import { Badge, Dialog, Failure, saveText } from "./ui.js";

const LINES = 200;
const FOLLOW_SECONDS = 600;
const SHOWN_CHARACTERS = 500_000;

const command = (app, isFollowed) => ({
  command: "logs",
  lines: LINES,
  ...(app ? { app } : {}),
  ...(isFollowed ? { follow: true, seconds: FOLLOW_SECONDS } : {}),
});

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
    const show = (latest) => {
      setAnswer(latest);
      if (latest.output) setText((before) => (before + latest.output).slice(-SHOWN_CHARACTERS));
    };
    askNode(name, command(app, isFollowed), show, { signal: mine.signal }).catch((failed) => mine.signal.aborted || setError(failed));
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
        ${answer && !isOpen(answer) && html`<button type="button" onClick=${() => again(turn + 1)}>Read again</button>`}
      </div>
      ${error && html`<${Failure} error=${error} />`}
      ${answer && html`<p role="status"><${Badge} word=${answer.status} /> ${answer.cause || (isOpen(answer) && isFollowed ? "new lines appear as the node sends them" : "")}</p>`}
      <pre ref=${output} class="output" tabindex="0" aria-label="Log" onScroll=${scrolled}>${shown}</pre>
    <//>
  `;
}
