// Figures as pictures, in plain SVG, each with the same in words for screen readers.
import { html, useState } from "./html.js";
import { count, hour, percent, when } from "./format.js";

/** Parts of a whole beside each other. *parts*: `{ name, value, tone }`. */
export function Bar({ parts, label }) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  let start = 0;
  const words = parts.map((part) => `${part.name} ${count(part.value)}`).join(", ");
  return html`
    <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${`${label}: ${words}`}>
      <rect class="tone-none" width="100" height="4" />
      ${total > 0 &&
      parts.map((part) => {
        const width = (100 * part.value) / total;
        const x = start;
        start += width;
        return width > 0 && html`<rect key=${part.name} class=${`tone-${part.tone}`} x=${x} width=${width} height="4" />`;
      })}
    </svg>
  `;
}

export const Legend = ({ parts }) => html`
  <ul class="legend">
    ${parts.map((part) => html`<li key=${part.name}><i class=${`tone-${part.tone}`}></i>${part.to ? html`<a href=${part.to}><b>${count(part.value)}</b> ${part.name}</a>` : html`<b>${count(part.value)}</b> ${part.name}`}</li>`)}
  </ul>
`;

/** A ring of parts, with the most important figure in it. */
export function Ring({ parts, figure, caption, label }) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const around = 2 * Math.PI * 42;
  let start = 0;
  return html`
    <svg class="ring" viewBox="0 0 110 110" role="img" aria-label=${`${label}: ${parts.map((part) => `${part.name} ${count(part.value)}`).join(", ")}`}>
      <circle class="track" cx="55" cy="55" r="42" />
      ${total > 0 &&
      parts.map((part) => {
        const length = (around * part.value) / total;
        const offset = start;
        start += length;
        return (
          part.value > 0 &&
          html`<circle key=${part.name} class=${`stroke-${part.tone}`} cx="55" cy="55" r="42" stroke-dasharray=${`${length} ${around - length}`} stroke-dashoffset=${-offset} transform="rotate(-90 55 55)" />`
        );
      })}
      <text class="ring-figure" x="55" y="57">${figure}</text>
      <text class="ring-caption" x="55" y="72">${caption}</text>
    </svg>
  `;
}

const WIDE = 460;
const HIGH = 170;
const EDGE = { left: 40, right: 12, top: 12, bottom: 26 };

const HOUR = 3600 * 1000;
const RANGES = [[1, "1 h"], [6, "6 h"], [24, "24 h"]];

/** The item nearest to *time*; undefined where there is none within *reach*. */
function nearest(items, time, reach) {
  const far = (item) => Math.abs(Date.parse(item.time) - time);
  const best = items.reduce((found, item) => (!found || far(item) < far(found) ? item : found), undefined);
  return best && far(best) <= reach ? best : undefined;
}

/** Parts of 1 (or null where unknown) over the last hours; a gap where nothing is known. */
export function UsagePlot({ items, step, now = Date.now() }) {
  const [hours, setHours] = useState(24);
  const [pointed, point] = useState(null);
  // Not before the first figure: a new node has no day behind it.
  const first = items.length ? Date.parse(items[0].time) : now;
  const from = Math.min(Math.max(now - hours * HOUR, first), now - step * 1000);
  const x = (time) => EDGE.left + ((time - from) / (now - from)) * (WIDE - EDGE.left - EDGE.right);
  const y = (part) => HIGH - EDGE.bottom - Math.min(1, Math.max(0, part)) * (HIGH - EDGE.top - EDGE.bottom);
  const shown = items.filter((item) => Date.parse(item.time) >= from);
  const line = (key) => {
    let text = "";
    let before = null;
    for (const item of shown) {
      const value = item[key];
      const time = Date.parse(item.time);
      if (value === null || value === undefined) {
        before = null;
        continue;
      }
      const joins = before !== null && time - before <= step * 3000;
      text += joins ? `L${x(time).toFixed(1)} ${y(value).toFixed(1)}` : `M${x(time).toFixed(1)} ${y(value).toFixed(1)}h.01`;
      before = time;
    }
    return text;
  };
  const last = (key) => [...items].reverse().find((item) => item[key] !== null && item[key] !== undefined)?.[key];
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => from + part * (now - from));
  const word = (value) => (value === undefined || value === null ? "unknown" : `${percent(value, 1)} %`);
  const moved = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDE;
    const time = from + ((at - EDGE.left) / (WIDE - EDGE.left - EDGE.right)) * (now - from);
    point(nearest(shown, time, step * 3000) || null);
  };
  const chosen = pointed && shown.includes(pointed) ? pointed : null;
  const figures = chosen ? [chosen.cpuPercent, chosen.memoryPercent] : ["cpuPercent", "memoryPercent"].map(last);
  return html`
    <figure class="plot">
      <div class="ranges" role="group" aria-label="Range">
        ${RANGES.map(([value, words]) => html`<button key=${value} type="button" class="bare" aria-pressed=${hours === value} onClick=${() => setHours(value)}>${words}</button>`)}
      </div>
      <svg viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${`Usage. Last: CPU ${word(last("cpuPercent"))}, memory ${word(last("memoryPercent"))}.`} onPointerMove=${moved} onPointerLeave=${() => point(null)}>
        ${[0, 0.25, 0.5, 0.75, 1].map(
          (part) => html`
            <line class="grid" x1=${EDGE.left} x2=${WIDE - EDGE.right} y1=${y(part)} y2=${y(part)} />
            <text class="axis" x=${EDGE.left - 6} y=${y(part) + 4} text-anchor="end">${100 * part} %</text>
          `,
        )}
        ${ticks.map((time, index) => html`<text class="axis" x=${x(time)} y=${HIGH - 8} text-anchor=${index === 0 ? "start" : index === 4 ? "end" : "middle"}>${index === 4 ? "now" : hour(time)}</text>`)}
        ${chosen && html`<line class="pointed" x1=${x(Date.parse(chosen.time))} x2=${x(Date.parse(chosen.time))} y1=${EDGE.top} y2=${HIGH - EDGE.bottom} />`}
        <path class="line-memory" d=${line("memoryPercent")} />
        <path class="line-cpu" d=${line("cpuPercent")} />
      </svg>
      <figcaption>
        <span><i class="line-cpu"></i>CPU <b>${word(figures[0])}</b></span>
        <span><i class="line-memory"></i>Memory <b>${word(figures[1])}</b></span>
        <span class="quiet" role="status">${chosen ? when(chosen.time) : `since ${when(from)}`}</span>
      </figcaption>
    </figure>
  `;
}
