// Figures as pictures, in plain SVG, each with the same in words for screen readers.
import { html } from "./html.js";
import { count } from "./format.js";

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
      <text class=${`ring-figure ${figure.length > 5 ? "long" : ""}`} x="55" y="57">${figure}</text>
      <text class="ring-caption" x="55" y="72">${caption}</text>
    </svg>
  `;
}
