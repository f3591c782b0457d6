// How the fleet did over time.
import { html, useState } from "./html.js";
import { get, path } from "./api.js";
import { Ranges, TrendPlots } from "./plots.js";
import { Empty, Loaded, useData, useRepeated } from "./ui.js";

const RANGES = [[1, "1 h"], [6, "6 h"], [24, "24 h"], [168, "7 d"], [720, "30 d"]];
const AGAIN = 60000;

export function Trends({ hasNodes }) {
  const [hours, setHours] = useState(24);
  const state = useData((signal) => get(path("/v1/trends", { hours }), { signal }), [hours]);
  useRepeated(state.reload, AGAIN);
  if (!hasNodes && !state.data?.items.length) return null;
  return html`<section aria-labelledby="trends-title">
    <div class="section-head"><h2 id="trends-title">Trends</h2><${Ranges} ranges=${RANGES} hours=${hours} onChoose=${setHours} /></div>
    <${Loaded} state=${state} lines=${6} show=${({ items, step }) =>
      items.length ? html`<${TrendPlots} items=${items} step=${step} hours=${hours} />` : html`<${Empty} title="No trend yet"><p>The server records a point each minute.</p><//>`} />
  </section>`;
}
