// What the dashboard uses of yaml; `scripts/vendor/bundle` makes one module of it.
export { parseDocument } from "yaml";
