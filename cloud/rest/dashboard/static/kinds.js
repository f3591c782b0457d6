// The kinds of things an operator describes: where they are, how a list shows them, how one begins.
import { html } from "./html.js";
import { link } from "./route.js";
import { Labels, Time } from "./ui.js";

const named = (place) => ({ name: "Name", show: (item) => html`<a href=${link([place, item.name])}>${item.name}</a>` });
const version = { name: "Version", show: (item) => item.version };
const description = { name: "Description", kind: "wide", show: (item) => item.description };
const changed = { name: "Changed", show: (item) => html`<${Time} at=${item.updateTime} />` };
const labels = { name: "Labels", show: (item) => html`<${Labels} labels=${item.labels} most=${3} />` };

export const KINDS = {
  apps: {
    place: "apps",
    path: "/v1/apps",
    one: "app",
    many: "Apps",
    hasRevisions: true,
    hasSelector: true,
    columns: [named("apps"), version, { name: "For nodes with", kind: "wide", show: (app) => (app.selector ? html`<code>${app.selector}</code>` : html`<span class="quiet">no node</span>`) }, { name: "Type", show: (app) => app.type }, changed],
    help: "Workloads of nodes. The selector selects the nodes.",
    template: `name: web
description: ""
type: container
selector: role=gateway
labels: {}
services:
  - name: web
    image: nginx:1.29
    replica: 1
    ports:
      - hostPort: 8080
        containerPort: 80
        protocol: TCP
    volumeMounts: []
    env: []
volumes: []
registries: []
`,
  },
  configs: {
    place: "configs",
    path: "/v1/configs",
    one: "config",
    many: "Configs",
    hasRevisions: true,
    hasSelector: true,
    users: true,
    columns: [named("configs"), version, description, labels, changed],
    help: "Files that apps mount. A changed config is a new version of the apps that use it.",
    template: `name: web-conf
description: ""
labels: {}
data:
  - key: index.html
    value:
      type: kv
      value: |
        <h1>hello</h1>
`,
  },
  secrets: {
    place: "secrets",
    path: "/v1/secrets",
    one: "secret",
    many: "Secrets",
    hasRevisions: true,
    users: true,
    isSecret: true,
    columns: [named("secrets"), version, description, changed],
    help: "Sensitive values that apps mount. Each read is an entry of the audit log.",
    template: `name: web-password
description: ""
data:
  password: change-me
`,
  },
  registries: {
    place: "registries",
    path: "/v1/registries",
    one: "registry",
    many: "Registries",
    hasRevisions: true,
    users: true,
    columns: [named("registries"), { name: "Address", show: (item) => item.address }, { name: "User", show: (item) => item.username }, version, changed],
    help: "Credentials with which nodes pull images. The password is never shown; leave it out to keep it.",
    template: `name: hub
address: registry.example.com
username: puller
password: change-me
description: ""
`,
  },
  batches: {
    place: "batches",
    path: "/v1/register",
    one: "batch",
    many: "Batches",
    isNumbered: true,
    isBatch: true,
    isSecret: true,
    columns: [named("batches"), description, { name: "Proof", show: (item) => item.securityType }, { name: "Quota", kind: "number", show: (item) => item.quotaNum }, changed],
    help: "Devices that may activate, and the labels they get as nodes.",
    template: `name: shops
description: ""
enableWhitelist: 0
securityType: Token
quotaNum: 200
labels:
  role: gateway
`,
  },
};
