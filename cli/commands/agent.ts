import type { Invitation } from '../../shared/config/join.ts';
import { TesseraError } from '../../shared/errors.ts';
import { TIERS } from '../../shared/plan/plan.ts';
import { hideUserInfo } from '../../shared/redact.ts';
import { namedSource } from '../agent-cameras.ts';
import { defineCommand } from '../command.ts';
import {
  connectionOptions,
  connectionSettings,
  flagSetting,
  integer,
  oneOf,
  string,
  value,
  values,
} from '../options.ts';
import { serviceNotices } from '../service/notices.ts';

/** Exit code that has the launcher of a bundle start another release (bundle/launcher.ts). */
const REPLACED = 75;

/** `tessera agent`: one node. */
export const command = defineCommand({
  description:
    'Runs one node: it receives parts of networks from central, runs them, and sends back the results. Needs a broker ' +
    'to connect to and nothing else; pieces of models arrive over the broker and are stored in the state directory. ' +
    'It retries while the broker is unreachable, ends with an error when the broker refuses or revokes its access, and ' +
    'stops on Ctrl-C or SIGTERM.',
  options: {
    ...connectionOptions,
    join: value(
      '--join <token>',
      'join with an invitation, as `tessera node invite` prints it; - reads it from standard input',
      string,
    ),
    joinFile: value('--join-file <file>', 'the same, from a file', string),
    id: value('--id <id>', "the node's id; otherwise made once of host name and machine, and kept", string),
    tier: value('--tier <tier>', 'tier of the machine: device, edge or cloud', oneOf(...TIERS)),
    camera: values(
      '--camera <name=source>',
      'a camera of this machine, whose frames stay here unless the plan moves them; source: rtsp://..., http://..., ' +
        '/dev/video0, rpicam, mqtt:TOPIC, synthetic, a folder, a video, a picture, a named pipe of JPEGs, or - for ' +
        'standard input (may be repeated); cameras of the configuration whose node is this one are read too',
      namedSource,
    ),
    fps: value(
      '--fps <n>',
      'frames a second at most of these cameras; otherwise max_fps of each, or 5',
      integer(1, 1000),
    ),
    threads: value('--threads <n>', 'threads of one inference; otherwise one for each core', integer(1, 1024)),
  },
  examples: [
    ['agent --broker mqtt://192.168.1.10', 'joins the broker of another machine'],
    ['agent --join tessera1.eyJzZXJ2...', 'joins with an invitation; later `agent` alone is enough'],
    ['agent --join - < token', 'the same, without the token in a process list'],
    ['agent --camera front=frames/', 'frames of the camera front are born at this node'],
    ['agent --camera door=rtsp://10.0.0.7/sub', 'the same of an IP camera, which ffmpeg reads'],
    ['agent --id pi-1 --tier device --threads 2', 'with an id and a tier of its own'],
  ],
  async run({ options, out, signal, config: loadConfig }) {
    const invitation = await readInvitation(options);
    const loaded = await loadConfig([
      ...(await connectionSettings(options)),
      ...(options.id === undefined ? [] : [flagSetting('node.id', '--id', options.id)]),
      ...(options.tier === undefined ? [] : [flagSetting('node.tier', '--tier', options.tier)]),
      ...(options.threads === undefined ? [] : [flagSetting('node.threads', '--threads', options.threads)]),
    ]);
    const { config } = loaded;
    const notices = serviceNotices(signal);
    const [
      { runAgent },
      { nodeIdentity },
      { readMembership },
      { explained, wayIn },
      { openLog },
      { makeStateDirectory },
      { machineDefaults },
      { agentCameras },
    ] = await Promise.all([
      import('../../node-agent/main.ts'),
      import('../../node-agent/identity.ts'),
      import('../../node-agent/enrolment.ts'),
      import('../membership.ts'),
      import('../connect.ts'),
      import('../../shared/runtime/state-directory.ts'),
      import('../machine.ts'),
      import('../agent-cameras.ts'),
    ]);
    const given = config.node.id === 'auto' ? undefined : config.node.id;
    const stateDir = await makeStateDirectory();
    const member = invitation ?? (await readMembership(stateDir));
    const log = await openLog(config, given ?? member?.user ?? 'node');
    const way = await wayIn(invitation, { loaded, id: given, stateDir, log, signal });
    if (way === undefined) return 0;
    const { bus, base, trustedKeys, updateKeys } = way;
    const name = await nodeIdentity(way.id, stateDir);
    const { threads, memoryMb } = machineDefaults();
    const end = await runAgent({
      bus: { ...bus, patient: true },
      base,
      id: name,
      tier: config.node.tier,
      threads: config.node.threads === 'auto' ? threads : config.node.threads,
      sessionMemoryMb: config.node.memory_mb === 'auto' ? memoryMb : config.node.memory_mb,
      trustedKeys,
      updates: {
        releases: process.env.TESSERA_RELEASES,
        installed: process.env.TESSERA_INSTALLED,
        isTrial: process.env.TESSERA_TRIAL === 'yes',
        trialS: config.updates.trial_s,
        keys: updateKeys,
      },
      stateDir,
      cameras: await agentCameras(options.camera, options.fps, config.cameras, name),
      watch: (answers) => notices.watch(answers),
      log,
      signal,
      // A node that another command started has nothing to say to its user.
      onStarted: () => {
        if (process.send === undefined)
          out.note(`node ${name} is online at ${hideUserInfo(way.search?.url ?? bus.url)}`);
      },
    })
      .catch((error: unknown) => {
        throw explained(error, way);
      })
      .finally(() => way.search?.stop());
    return end === 'replaced' ? REPLACED : 0;
  },
});

/** The invitation of --join or --join-file; throws TESSERA_USAGE. */
async function readInvitation(options: {
  readonly join: string | undefined;
  readonly joinFile: string | undefined;
}): Promise<Invitation | undefined> {
  const { join, joinFile } = options;
  if (join === undefined && joinFile === undefined) return undefined;
  if (join !== undefined && joinFile !== undefined)
    throw new TesseraError('TESSERA_USAGE', '--join and --join-file exclude each other', { hint: 'give one' });
  const { readJoinToken } = await import('../../shared/config/join.ts');
  if (join !== undefined && join !== '-') return readJoinToken(join);
  const { text: readAll } = await import('node:stream/consumers');
  const { readText } = await import('../../shared/runtime/file.ts');
  const text = await (joinFile === undefined ? readAll(process.stdin) : readText(joinFile)).catch((error) => {
    throw new TesseraError('TESSERA_USAGE', `--join-file ${joinFile} cannot be read: ${error.message}`, {
      hint: 'name a file that holds the token and nothing else',
      cause: error,
    });
  });
  // The whole line that `tessera node invite` printed will do.
  return readJoinToken(text.trim().split(/\s+/).at(-1) ?? '');
}
