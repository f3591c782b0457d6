// Figures over time: lines with a range, and the values of a moment under the pointer or by arrow keys.
import { html, useState } from "./html.js";
import { count, day, hour, percent, when } from "./format.js";

const WIDE = 460;
const HIGH = 170;
const EDGE = { left: 44, right: 12, top: 12, bottom: 26 };
const QUARTERS = [0, 0.25, 0.5, 0.75, 1];
const HOUR = 3600 * 1000;

/** A gap of more steps than this is shown as one. */
const JOINED_STEPS = 3;

const isKnown = (value) => value !== undefined && value !== null;
const timeOf = (item) => Date.parse(item.time);

/** The item nearest to *time*; null where there is none within *reach*. */
function nearest(items, time, reach) {
  const far = (item) => Math.abs(timeOf(item) - time);
  const best = items.reduce((found, item) => (!found || far(item) < far(found) ? item : found), undefined);
  return best && far(best) <= reach ? best : null;
}

/** The least of 1, 2, 4, 6 and 8 times a power of ten that is not below *value*. */
export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.001)));
  return [1, 2, 4, 6, 8, 10].map((part) => part * power).find((top) => top >= value * 0.999);
}

function linePath(items, value, x, y, reach) {
  let text = "";
  let before = null;
  for (const item of items) {
    const time = timeOf(item);
    const known = value(item);
    if (!isKnown(known)) {
      before = null;
      continue;
    }
    const place = `${x(time).toFixed(1)} ${y(known).toFixed(1)}`;
    text += before !== null && time - before <= reach ? `L${place}` : `M${place}h.01`;
    before = time;
  }
  return text;
}

/** Buttons for how many hours are shown. *ranges*: pairs of hours and words. */
export const Ranges = ({ ranges, hours, onChoose }) => html`
  <div class="ranges" role="group" aria-label="Range">
    ${ranges.map(([value, words]) => html`<button key=${value} type="button" class="bare" aria-pressed=${hours === value} onClick=${() => onChoose(value)}>${words}</button>`)}
  </div>
`;

/**
 * Lines over the last *hours*, not before the first of *items*, with gaps where nothing is known.
 * *lines*: `{ name, tone, value(item), word(item) }`; *top* is the upper end of the scale, whose
 * marks *mark* writes.
 */
export function Plot({ label, items, step, hours, lines, top, mark, now = Date.now() }) {
  const [pointed, point] = useState(null);
  const first = items.length ? timeOf(items[0]) : now;
  const from = Math.min(Math.max(now - hours * HOUR, first), now - step * 1000);
  const x = (time) => EDGE.left + ((time - from) / (now - from)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => HIGH - EDGE.bottom - Math.min(1, Math.max(0, value / top)) * (HIGH - EDGE.top - EDGE.bottom);
  const shown = items.filter((item) => timeOf(item) >= from);
  const reach = step * 1000 * JOINED_STEPS;
  const chosen = pointed && shown.find((item) => item.time === pointed.time);
  const last = (line) => [...shown].reverse().find((item) => isKnown(line.value(item)));
  const word = (line, item) => (item && isKnown(line.value(item)) ? line.word(item) : "unknown");
  const words = lines.map((line) => `${line.name} ${word(line, last(line))}`).join(", ");
  const moved = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const part = (((event.clientX - box.left) / box.width) * WIDE - EDGE.left) / (WIDE - EDGE.left - EDGE.right);
    point(nearest(shown, from + part * (now - from), reach));
  };
  const keyed = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") point(null);
    if (!by || !shown.length) return;
    event.preventDefault();
    const at = chosen ? shown.indexOf(chosen) + by : shown.length - 1;
    point(shown[Math.min(shown.length - 1, Math.max(0, at))]);
  };
  const tick = (now - from) / HOUR > 48 ? day : hour;
  // In a few minutes two marks would be the same.
  const ticks = QUARTERS.map((part) => tick(from + part * (now - from))).map((text, index, all) => (index === 4 ? "now" : text === all[index - 1] ? "" : text));
  return html`
    <figure class="plot">
      <svg viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" tabindex="0" aria-label=${`${label}. Last: ${words}.`} onPointerMove=${moved} onPointerLeave=${() => point(null)} onKeyDown=${keyed} onBlur=${() => point(null)}>
        ${QUARTERS.map(
          (part) => html`
            <line class="grid" x1=${EDGE.left} x2=${WIDE - EDGE.right} y1=${y(part * top)} y2=${y(part * top)} />
            <text class="axis" x=${EDGE.left - 6} y=${y(part * top) + 4} text-anchor="end">${mark(part * top)}</text>
          `,
        )}
        ${QUARTERS.map((part, index) => html`<text class="axis" x=${x(from + part * (now - from))} y=${HIGH - 8} text-anchor=${index === 0 ? "start" : index === 4 ? "end" : "middle"}>${ticks[index]}</text>`)}
        ${chosen && html`<line class="pointed" x1=${x(timeOf(chosen))} x2=${x(timeOf(chosen))} y1=${EDGE.top} y2=${HIGH - EDGE.bottom} />`}
        ${lines.map((line) => html`<path key=${line.name} class=${`line-${line.tone}`} d=${linePath(shown, line.value, x, y, reach)} />`)}
      </svg>
      <figcaption>
        ${lines.map((line) => html`<span key=${line.name}><i class=${`line-${line.tone}`}></i>${line.name} <b>${word(line, chosen || last(line))}</b></span>`)}
        <span class="quiet" role="status">${chosen ? when(chosen.time) : `since ${when(from)}`}</span>
      </figcaption>
    </figure>
  `;
}

const share = (key, tone, name) => ({ name, tone, value: (item) => item[key], word: (item) => `${percent(item[key], 1)} %` });
const USAGE = [share("memoryPercent", "second", "Memory"), share("cpuPercent", "first", "CPU")];
const USAGE_RANGES = [[1, "1 h"], [6, "6 h"], [24, "24 h"]];
const asPercent = (part) => `${Math.round(100 * part)} %`;

/** What a node used of its CPU and memory in the last day. */
export function UsagePlot({ items, step }) {
  const [hours, setHours] = useState(24);
  return html`<${Ranges} ranges=${USAGE_RANGES} hours=${hours} onChoose=${setHours} />
    <${Plot} label="Usage" items=${items} step=${step} hours=${hours} lines=${USAGE} top=${1} mark=${asPercent} />`;
}

const ofAll = (key, tone, name) => ({
  name,
  tone,
  value: (item) => (item.nodes ? item[key] / item.nodes : null),
  word: (item) => `${count(item[key])} of ${count(item.nodes)} (${percent(item[key], item.nodes)} %)`,
});
const STATES = [ofAll("converged", "second", "Converged"), ofAll("online", "first", "Online")];
const rate = (value) => (value < 10 ? String(Math.round(value * 100) / 100) : count(Math.round(value)));
const REPORTS = [{ name: "Reports", tone: "first", value: (item) => item.reportsPerSecond, word: (item) => `${rate(item.reportsPerSecond)}/s` }];

/** The share of the fleet that is online and converged, and its reports per second. */
export function TrendPlots({ items, step, hours }) {
  const most = Math.max(...items.map((item) => item.reportsPerSecond), 0.01);
  return html`<div class="cards two">
    <div class="card"><h3>Online and converged</h3><${Plot} label="Online and converged nodes" items=${items} step=${step} hours=${hours} lines=${STATES} top=${1} mark=${asPercent} /></div>
    <div class="card"><h3>Reports per second</h3><${Plot} label="Reports per second" items=${items} step=${step} hours=${hours} lines=${REPORTS} top=${niceTop(most)} mark=${rate} /></div>
  </div>`;
}
