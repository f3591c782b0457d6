// A field for YAML: highlighting, a mark at the wrong line, and completion from the API's schema.
import { html, useEffect, useRef } from "./html.js";
import { get } from "./api.js";
import {
  autocompletion,
  bracketMatching,
  completionKeymap,
  defaultKeymap,
  drawSelection,
  EditorState,
  EditorView,
  highlightActiveLine,
  HighlightStyle,
  highlightSelectionMatches,
  history,
  historyKeymap,
  indentOnInput,
  keymap,
  lineNumbers,
  lintGutter,
  searchKeymap,
  setDiagnostics,
  syntaxHighlighting,
  tags,
  yaml,
} from "./vendor/codemirror.js";
import { completionsAt } from "./completion.js";

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], class: "yaml-key" },
  { tag: [tags.string, tags.content], class: "yaml-text" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], class: "yaml-word" },
  { tag: tags.comment, class: "yaml-comment" },
]);

let documentOnce = null;
/** The OpenAPI document, fetched once; null where it cannot be. */
const apiDocument = () => (documentOnce ||= get("/openapi.json").catch(() => (documentOnce = null)));

function completions(path) {
  return async (context) => {
    const word = context.matchBefore(/[\w.-]*/);
    if (!context.explicit && !word.text) return null;
    const document = await apiDocument();
    const lines = context.state.doc.toString().split("\n");
    const line = context.state.doc.lineAt(context.pos);
    const options = document ? completionsAt(document, path, lines, line.number - 1, context.pos - line.from) : [];
    return options.length ? { from: word.from, options, validFor: /^[\w.-]*$/ } : null;
  };
}

/** *error* is an `ApiError` or null; *onReview* is called by Ctrl+Enter. */
export function CodeEditor({ id, value, label, path, error, onChange, onReview }) {
  const place = useRef();
  const view = useRef();
  const latest = useRef();
  latest.current = { onChange, onReview };
  useEffect(() => {
    const changed = EditorView.updateListener.of((update) => update.docChanged && latest.current.onChange(update.state.doc.toString()));
    const review = { key: "Mod-Enter", run: () => (latest.current.onReview(), true) };
    // CodeMirror adds its styles to a document as <style>, which the policy forbids; to a shadow root
    // it adds them as style sheets, which it does not.
    const root = place.current.shadowRoot || place.current.attachShadow({ mode: "open" });
    const styles = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/dashboard/code_editor.css" });
    root.replaceChildren(styles);
    view.current = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          highlightActiveLine(),
          highlightSelectionMatches(),
          yaml(),
          syntaxHighlighting(COLOURS),
          autocompletion({ override: [completions(path)] }),
          // Tab is left alone, so that the keyboard leads out of the field.
          keymap.of([review, ...completionKeymap, ...searchKeymap, ...historyKeymap, ...defaultKeymap]),
          EditorView.contentAttributes.of({ id, "aria-label": label, "aria-describedby": "editor-help", spellcheck: "false", autocapitalize: "off" }),
          EditorView.lineWrapping,
          changed,
        ],
      }),
    });
    return () => view.current.destroy();
  }, []);
  useEffect(() => {
    const { state } = view.current;
    view.current.contentDOM.toggleAttribute("aria-invalid", Boolean(error));
    if (!error?.line) {
      view.current.dispatch(setDiagnostics(state, []));
      if (error) view.current.focus();
      return;
    }
    const line = state.doc.line(Math.min(error.line, state.doc.lines));
    const mark = { from: line.from, to: Math.max(line.to, line.from), severity: "error", message: error.message };
    view.current.dispatch(setDiagnostics(state, [mark]), { selection: { anchor: line.from, head: line.to }, scrollIntoView: true });
    view.current.focus();
  }, [error]);
  return html`<div class="code" ref=${place}></div>`;
}
