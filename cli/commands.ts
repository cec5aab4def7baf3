import type { Command } from './command.ts';

/** A command in the list: what `tessera --help` needs to know, and where the rest is. */
export interface Entry {
  /** One word, or two for `model add` and the like. */
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** Every command that works, in the order of `tessera --help`. Modules load when they are named, so help is instant. */
export const COMMANDS: readonly Entry[] = [
  {
    name: 'up',
    summary: 'start broker, central, agents and a camera on this machine',
    load: () => import('./commands/up.ts'),
  },
  { name: 'infer', summary: 'run pictures or tensors through a network', load: () => import('./commands/infer.ts') },
  {
    name: 'verify',
    summary: 'check that the distributed run equals the whole network',
    load: () => import('./commands/verify.ts'),
  },
  { name: 'broker', summary: 'run the embedded MQTT broker', load: () => import('./commands/broker.ts') },
  { name: 'central', summary: 'run central, which plans and schedules', load: () => import('./commands/central.ts') },
  {
    name: 'profile',
    summary: 'measure a model on every node, and the links',
    load: () => import('./commands/profile.ts'),
  },
  { name: 'plan', summary: 'rank plans for a profile, and explain the best', load: () => import('./commands/plan.ts') },
  { name: 'deploy', summary: 'put a plan to work', load: () => import('./commands/deploy.ts') },
  { name: 'agent', summary: 'run one node', load: () => import('./commands/agent.ts') },
  { name: 'publish', summary: 'send pictures to a running cluster', load: () => import('./commands/publish.ts') },
  { name: 'watch', summary: 'follow the predictions of a running cluster', load: () => import('./commands/watch.ts') },
  { name: 'nodes', summary: 'list the nodes', load: () => import('./commands/nodes.ts') },
  {
    name: 'nodes forget',
    summary: 'remove a node that no longer exists',
    load: () => import('./commands/nodes-forget.ts'),
  },
  { name: 'node invite', summary: 'invite a node into the cluster', load: () => import('./commands/node-invite.ts') },
  {
    name: 'node install',
    summary: 'make a machine a node, over ssh',
    load: () => import('./commands/node-install.ts'),
  },
  { name: 'flash', summary: 'make cards that boot as nodes', load: () => import('./commands/flash.ts') },
  {
    name: 'update',
    summary: 'have nodes run another version of this program',
    load: () => import('./commands/update.ts'),
  },
  {
    name: 'update verify',
    summary: 'check the signature and the hashes of a bundle',
    load: () => import('./commands/update-verify.ts'),
  },
  { name: 'node drain', summary: 'give a node no new work', load: () => import('./commands/node-drain.ts') },
  { name: 'node resume', summary: 'give a drained node work again', load: () => import('./commands/node-resume.ts') },
  {
    name: 'node readmit',
    summary: 'give work again to an excluded node',
    load: () => import('./commands/node-readmit.ts'),
  },
  { name: 'node revoke', summary: "revoke a node's access", load: () => import('./commands/node-revoke.ts') },
  { name: 'model add', summary: 'import an ONNX file', load: () => import('./commands/model-add.ts') },
  {
    name: 'model remove',
    summary: 'remove a model from the library',
    load: () => import('./commands/model-remove.ts'),
  },
  { name: 'model list', summary: 'list the models of the library', load: () => import('./commands/model-list.ts') },
  {
    name: 'model inspect',
    summary: 'show layers, cut points and cost',
    load: () => import('./commands/model-inspect.ts'),
  },
  {
    name: 'model calibrate',
    summary: 'calibrate quantisation on your own pictures',
    load: () => import('./commands/model-calibrate.ts'),
  },
  {
    name: 'service install',
    summary: 'start agent, central or broker with the machine',
    load: () => import('./commands/service-install.ts'),
  },
  { name: 'service status', summary: 'show the services', load: () => import('./commands/service-status.ts') },
  {
    name: 'service remove',
    summary: 'stop a service, and remove it',
    load: () => import('./commands/service-remove.ts'),
  },
  { name: 'acl', summary: 'print the access rules for another broker', load: () => import('./commands/acl.ts') },
  {
    name: 'doctor',
    summary: 'find faults of this machine or deployment',
    load: () => import('./commands/doctor.ts'),
  },
  { name: 'config', summary: 'show the effective configuration', load: () => import('./commands/config.ts') },
  { name: 'schema', summary: 'print the JSON Schema of a file or payload', load: () => import('./commands/schema.ts') },
];

/** Descriptions of command groups. */
export const GROUPS: Readonly<Record<string, string>> = {
  model: 'import and inspect models',
  node: 'invite and install nodes, and revoke their access',
  service: 'systemd services of this machine',
};
