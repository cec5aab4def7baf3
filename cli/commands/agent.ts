import type { Invitation } from '../../shared/config/join.ts';
import type { Setting } from '../../shared/config/layers.ts';
import { TesseraError } from '../../shared/errors.ts';
import { TIERS } from '../../shared/plan/plan.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flagSetting, integer, oneOf, string, value } from '../options.ts';

/** `tessera agent`: one node. */
export const command = defineCommand({
  description:
    'Runs one node: it takes tiles of networks from central, runs them, and sends back what comes out. Needs a broker ' +
    'to connect to and nothing else; pieces of models come over the broker and are kept in the state directory. ' +
    'It keeps trying while the broker is away, and stops on Ctrl-C or SIGTERM.',
  options: {
    ...connectionOptions,
    join: value('--join <token>', 'all of the above in one word, as `tessera up --listen` prints it', string),
    id: value('--id <id>', "the node's id; otherwise made once of host name and machine, and kept", string),
    tier: value('--tier <tier>', 'where the machine stands: device, edge or cloud', oneOf(...TIERS)),
    threads: value('--threads <n>', 'threads of one inference; otherwise one for each core', integer(1, 1024)),
  },
  examples: [
    ['agent --broker mqtt://192.168.1.10', 'joins the broker of another machine'],
    ['agent --join tessera1.eyJzZXJ2...', 'joins with the address and secret of a token'],
    ['agent --id pi-1 --tier device --threads 2', 'says who and where it is'],
  ],
  async run({ options, out, signal, config: loadConfig }) {
    const { readJoinToken } = await import('../../shared/config/join.ts');
    const invitation = options.join === undefined ? undefined : readJoinToken(options.join);
    const { config } = await loadConfig([
      ...joinSettings(invitation),
      ...(await connectionSettings(options)),
      ...(options.id === undefined ? [] : [flagSetting('node.id', '--id', options.id)]),
      ...(options.tier === undefined ? [] : [flagSetting('node.tier', '--tier', options.tier)]),
      ...(options.threads === undefined ? [] : [flagSetting('node.threads', '--threads', options.threads)]),
    ]);
    const [{ runAgent }, { busOptions, openLog }, { makeStateDirectory }, { machineDefaults }] = await Promise.all([
      import('../../node-agent/main.ts'),
      import('../connect.ts'),
      import('../../shared/runtime/state-directory.ts'),
      import('../machine.ts'),
    ]);
    const id = nodeId(config.node.id, invitation);
    const log = await openLog(config, id ?? 'node');
    const { clientId: _, log: __, ...bus } = await busOptions(config, '', log);
    const { threads, memoryMb } = machineDefaults();
    await runAgent({
      bus: { ...bus, ca: bus.ca ?? invitation?.ca, patient: true },
      base: config.mqtt.base_topic,
      id,
      tier: config.node.tier,
      threads: config.node.threads === 'auto' ? threads : config.node.threads,
      sessionMemoryMb: config.node.memory_mb === 'auto' ? memoryMb : config.node.memory_mb,
      trustedKeys: config.node.trusted_keys,
      stateDir: await makeStateDirectory(),
      log,
      signal,
      // A node that another command started has nothing to say to its user.
      onStarted: (name) => {
        if (process.send === undefined)
          out.note(`node ${name} is online at ${config.mqtt.server.replace(/\/\/[^@/]*@/, '//')}`);
      },
    });
    return 0;
  },
});

function joinSettings(invitation: Invitation | undefined): Setting[] {
  if (invitation === undefined) return [];
  const { server, user, password, base } = invitation;
  const said = { 'mqtt.server': server, 'mqtt.user': user, 'mqtt.password': password, 'mqtt.base_topic': base };
  return Object.entries(said).flatMap(([path, text]) =>
    text === undefined ? [] : [flagSetting(path, '--join', text)],
  );
}

/** The node's id: a broker lets a node write only under its user name, so the token decides where there is one. */
function nodeId(configured: string, invitation: Invitation | undefined): string | undefined {
  const own = configured === 'auto' ? undefined : configured;
  const invited = invitation?.user;
  if (invited === undefined || own === undefined || own === invited) return own ?? invited;
  throw new TesseraError('TESSERA_USAGE', `the id is ${own}, but the join token was made for ${invited}`, {
    hint: 'leave the id out, or get a token for this id',
  });
}
