import { TesseraError } from '../../shared/errors.ts';
import { announcementOf, BrokerAnnouncement } from '../broker-announcement.ts';
import { centralCameras } from '../central-cameras.ts';
import { defineCommand } from '../command.ts';
import { homeAssistantOption } from '../home-assistant-option.ts';
import type { ToServe } from '../models.ts';
import {
  agreementOption,
  connectionOptions,
  connectionSettings,
  flag,
  gridOption,
  integer,
  string,
  value,
  valueOr,
  values,
} from '../options.ts';
import { replanOptions } from '../replan-options.ts';
import { serviceNotices } from '../service/notices.ts';

/** `tessera central`: the coordinator of a real deployment. */
export const command = defineCommand({
  description:
    'Runs central: receives frames from cameras, distributes their work over node agents, and publishes predictions. ' +
    'Serves the models named with --model, otherwise every model of the models folder (`tessera model add` puts them ' +
    'there), otherwise the bundled one. Each camera uses all of them unless `cameras.<name>.models` names some.',
  options: {
    ...connectionOptions,
    model: values('--model <model>', 'a model to serve; repeat it for several', string),
    nodes: valueOr(
      '--nodes <n>',
      'node agents to plan for, if fewer are online: the grid has a tile for each',
      integer(1, 64),
      4,
    ),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS instead', gridOption),
    strategy: value('--strategy <name>', 'the only strategy to ask for plans, of those that `infer` has', string),
    agreement: agreementOption,
    id: value('--id <id>', 'identifies this central among several at one broker; default: the host name', string),
    standby: flag('--standby', 'wait while another central is active, and take over within 10 s when it is gone'),
  },
  examples: [
    ['central', 'serves the models folder at the broker of the configuration'],
    ['central --broker mqtt://192.168.1.10 --model fastestdet --nodes 8', 'one model, spread over eight nodes'],
    ['central --standby', 'on two machines: one is active, the other takes over'],
  ],
  async run({ options, out, signal, config }) {
    const { config: settings } = await config(await connectionSettings(options));
    const notices = serviceNotices(signal);
    const [
      { busOptions, openLog },
      { openCentral },
      { costInWords },
      { loadRequestFor, modelsToServe },
      { machineDefaults },
    ] = await Promise.all([
      import('../connect.ts'),
      import('../../central/open-central.ts'),
      import('../../central/planner/cost-in-words.ts'),
      import('../models.ts'),
      import('../machine.ts'),
    ]);
    const { makeStateDirectory } = await import('../../shared/runtime/state-directory.ts');
    const { serveEach } = await import('../serve-each.ts');
    const { untilStopped } = await import('../signals.ts');
    const log = await openLog(settings, 'central');
    const { clientId: _, log: __, ...bus } = await busOptions(settings, '', log);
    const listed: ToServe[] =
      options.model.length > 0 ? options.model.map((name) => ({ name })) : await modelsToServe(settings);
    if (listed.length === 0)
      throw new TesseraError('TESSERA_MODEL_UNKNOWN', `no model in ${settings.models.dir}`, {
        hint: '`tessera model add FILE.onnx` puts one there',
      });
    const { threads, memoryMb } = machineDefaults();
    const standby = options.standby || settings.central.standby;
    const server = settings.mqtt.server.replace(/\/\/[^@/]*@/, '//');
    const id = options.id ?? (settings.central.id === 'auto' ? undefined : settings.central.id);
    const stateDir = await makeStateDirectory();

    /** From its start until it is stopped (undefined) or relieved by another central. */
    const serve = async (): Promise<TesseraError | undefined> => {
      const central = await openCentral({
        bus: { ...bus, patient: true },
        base: settings.mqtt.base_topic,
        id,
        standby,
        onWait: (other) => out.note(`standing by at ${server}: central ${other} is active`),
        stateDir,
        threads,
        sessionMemoryMb: memoryMb,
        signingKey: settings.models.signing_key,
        cameras: centralCameras(settings),
        acceptUnlistedCameras: settings.accept_unlisted_cameras,
        ...homeAssistantOption(settings),
        coordinator: { audit_share: settings.central.audit_share, tier: settings.central.tier ?? null },
        http: settings.http.enabled
          ? { host: settings.http.host, ports: [settings.http.port], releases: settings.updates.folder }
          : undefined,
        replan: replanOptions(settings),
        watch: (answers) => notices.watch(answers),
        log,
      });
      if (central.url !== undefined) out.note(`window: ${central.url}`);
      const announcement = new BrokerAnnouncement(log);
      const stopped = untilStopped(signal).then(() => undefined);
      try {
        const serveModel = async (name: string): Promise<void> => {
          const { request, notes } = await loadRequestFor(name, settings, { signal });
          for (const note of notes) out.note(`note: ${note}`);
          const served = await central.load(request);
          const grid = options.grid === undefined ? {} : { grid: options.grid };
          const compiled = await central.servePlan(served.name, {
            nodeCount: options.nodes,
            strategy: options.strategy,
            agreement: options.agreement ?? settings.models.agreement,
            ...grid,
          });
          const share = Math.round(compiled.cost.macsOnNodes * 100);
          out.note(
            `model ${served.name}: ${compiled.plan.reason}; ${share} % of the computing on nodes; ${costInWords(compiled.cost)}`,
          );
        };
        const served = serveEach(listed, serveModel, {
          refuse: (name, failure) => central.refuse(name, failure),
          log,
          stopped,
        });
        await Promise.race([served, stopped]);
        if (signal.aborted) return undefined;
        out.note(`models are signed with ${central.publicKey}`);
        await Promise.race([central.lead(), stopped]);
        if (signal.aborted) return undefined;
        out.note(`central is online at ${server}`);
        const about = { role: 'central', base: settings.mqtt.base_topic, keys: [central.publicKey] } as const;
        if (settings.mdns) announcement.say(announcementOf([server], about));
        return await Promise.race([stopped, central.relieved]);
      } finally {
        await announcement.stop();
        await central.stop();
      }
    };

    for (;;) {
      const relieved = await serve();
      if (relieved === undefined) return 0;
      if (!standby) throw relieved;
      out.note(relieved.message);
    }
  },
});
