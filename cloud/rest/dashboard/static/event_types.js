// The types of events, and how serious each is.
import { logNames } from "./kinds.js";

const CHANGES = ["created", "updated", "deleted"];
const OWN = {
  node: ["activated", "ready", "lost", "revoked", "converged", "failed", "drifted", ...CHANGES],
  certificate: ["ending"],
  batch: ["refused", ...CHANGES],
  rollout: ["scheduled", "running", "paused", "waitingForApproval", "rollingBack", "done", "failed", "rolledBack", "superseded", "aborted"],
};

/** What events can be about, nodes first. */
export const families = () => [...new Set(["node", "certificate", "rollout", ...logNames(), "properties"])];

/** The types of the events about a *family*. */
export const typesOf = (family) => (OWN[family] || CHANGES).map((verb) => `${family}.${verb}`);

/** All types there are. */
export const eventTypes = () => families().flatMap(typesOf);

const PROBLEMS = ["node.failed", "node.lost", "certificate.ending", "batch.refused", "rollout.failed", "rollout.rollingBack", "rollout.rolledBack"];
const WARNINGS = ["node.drifted", "node.revoked", "rollout.paused", "rollout.waitingForApproval", "rollout.aborted"];
const isChange = (type) => CHANGES.includes(type.split(".")[1]);

/** Each severity: its word in addresses, its name, and whether a type has it. */
export const SEVERITIES = [
  ["problem", "problems", (type) => PROBLEMS.includes(type)],
  ["warning", "problems and warnings", (type) => PROBLEMS.includes(type) || WARNINGS.includes(type)],
  ["change", "changes by users", isChange],
  ["normal", "normal operation", (type) => !PROBLEMS.includes(type) && !WARNINGS.includes(type) && !isChange(type)],
];

/** The types that are of a *severity* and of a *type* or family; either may be empty. */
export function chosenTypes(severity, type) {
  const isMeant = SEVERITIES.find(([key]) => key === severity)?.[2] || (() => true);
  return eventTypes().filter((one) => isMeant(one) && (!type || one === type || one.split(".")[0] === type));
}
