import {
  apiFrame,
  apiHealth,
  apiLog,
  apiLogin,
  apiSession,
  apiSettingChange,
  apiSettings,
  apiState,
} from '../central/http/api.ts';
import { profileSchema } from '../central/planner/profile/schema.ts';
import { configSchema } from '../shared/config/schema.ts';
import { cardSchema } from '../shared/model/card-schema.ts';
import { planSchema } from '../shared/plan/validate.ts';
import { blobGetMessage, blobPartMessage } from '../shared/protocol/messages/blob.ts';
import { bornFrameMessage, bornFrameOrder } from '../shared/protocol/messages/born-frame.ts';
import { brokerStats } from '../shared/protocol/messages/broker.ts';
import { cameraSource } from '../shared/protocol/messages/camera.ts';
import { centralModels, centralStatus, planRanking, planStatus, stats } from '../shared/protocol/messages/central.ts';
import { controlMessage, modelManifest } from '../shared/protocol/messages/control.ts';
import { echoMessage } from '../shared/protocol/messages/echo.ts';
import { frameEnvelope } from '../shared/protocol/messages/frame.ts';
import {
  drainedNodes,
  heartbeat,
  leftOut,
  nodeEvent,
  nodeInfo,
  planPreparation,
} from '../shared/protocol/messages/node.ts';
import { nodeHealth } from '../shared/protocol/messages/node-health.ts';
import { objectEvent } from '../shared/protocol/messages/objects.ts';
import { partMessage } from '../shared/protocol/messages/part.ts';
import {
  codecsMeasured,
  deployedAnswer,
  deployRequest,
  frameMeasured,
  linkMeasured,
  measureCodecs,
  measureFrame,
  measureLink,
  measureStage,
  nodeDrain,
  nodeDrained,
  nodeInvite,
  nodeInvited,
  nodeReadmit,
  nodeReadmitted,
  nodeRevoke,
  nodeRevoked,
  profilePart,
  profileTaken,
  request,
  response,
  stageMeasured,
  traceAnswer,
  traceRequest,
  tunedAnswer,
  tuneRequest,
} from '../shared/protocol/messages/requests.ts';
import { outputsMessage, resultObject } from '../shared/protocol/messages/result.ts';
import { frameTrace } from '../shared/protocol/messages/trace.ts';
import {
  updateAnswer,
  updateManifest,
  updateReport,
  updateRequest,
  versionState,
} from '../shared/protocol/messages/update.ts';
import { resultMessage, tensorMessage, workMessage } from '../shared/protocol/messages/work.ts';
import { z } from '../shared/schema.ts';

/** A file or payload with a schema, under the name that `tessera schema` knows. */
export interface NamedSchema {
  readonly what: string;
  readonly schema: z.ZodType;
}

/** Every file and payload that is public surface; docs/protocol.md and the contract samples use these names too. */
export const SCHEMAS: Readonly<Record<string, NamedSchema>> = {
  config: { what: 'tessera.yaml', schema: configSchema },
  model: { what: 'model.yaml', schema: cardSchema },
  plan: { what: 'a plan file', schema: planSchema },
  profile: { what: 'a profile file: times of a model on nodes, and links', schema: profileSchema },
  result: { what: '<base>/result/<camera>/<model>', schema: resultObject },
  outputs: { what: '<base>/result/<camera>/<model>/tensor (CBOR)', schema: outputsMessage },
  frame: { what: '<base>/input/<camera>: a frame in an envelope (CBOR)', schema: frameEnvelope },
  info: { what: '<base>/node/<node>/info', schema: nodeInfo },
  heartbeat: { what: '<base>/node/<node>/heartbeat', schema: heartbeat },
  'central-status': { what: '<base>/central/<id>/status', schema: centralStatus },
  'left-out': { what: '<base>/central/central/left-out', schema: leftOut },
  drained: { what: '<base>/central/central/drained', schema: drainedNodes },
  'central-models': { what: '<base>/central/central/models', schema: centralModels },
  'plan-ranking': { what: '<base>/plan/<model>/ranking', schema: planRanking },
  'plan-progress': { what: '<base>/plan/<model>/progress', schema: planPreparation },
  'plan-status': { what: '<base>/plan/<model>', schema: planStatus },
  update: { what: '<base>/update', schema: updateManifest },
  'node-update': { what: '<base>/node/<node>/update', schema: updateReport },
  'version-state': { what: '<base>/node/<node>/version', schema: versionState },
  'node-event': { what: '<base>/event/node/<node>', schema: nodeEvent },
  'node-health': { what: '<base>/node/<node>/health', schema: nodeHealth },
  'object-event': { what: '<base>/event/camera/<camera>', schema: objectEvent },
  'camera-source': { what: '<base>/camera/<camera>/source', schema: cameraSource },
  stats: { what: '<base>/stats', schema: stats },
  'broker-stats': { what: '<base>/broker/stats', schema: brokerStats },
  'api-state': { what: 'GET /api/v1/state', schema: apiState },
  'api-frame': { what: 'GET /api/v1/frames/<camera>', schema: apiFrame },
  'api-log': { what: 'GET /api/v1/log', schema: apiLog },
  'api-settings': { what: 'GET /api/v1/settings', schema: apiSettings },
  'api-setting': { what: 'POST /api/v1/settings', schema: apiSettingChange },
  'api-login': { what: 'POST /api/v1/login', schema: apiLogin },
  'api-session': { what: 'GET /api/v1/session', schema: apiSession },
  'api-health': { what: 'GET /healthz', schema: apiHealth },
  request: { what: '<base>/request/<command>', schema: request },
  response: { what: '<base>/response/<command>', schema: response },
  deploy: { what: '<base>/request/deploy', schema: deployRequest },
  deployed: { what: 'data of <base>/response/deploy', schema: deployedAnswer },
  'profile-part': { what: '<base>/request/profile', schema: profilePart },
  'profile-taken': { what: 'data of <base>/response/profile', schema: profileTaken },
  'measure-stage': { what: '<base>/request/measure-stage', schema: measureStage },
  'stage-measured': { what: 'data of <base>/response/measure-stage', schema: stageMeasured },
  'measure-link': { what: '<base>/request/measure-link', schema: measureLink },
  'link-measured': { what: 'data of <base>/response/measure-link', schema: linkMeasured },
  'measure-codecs': { what: '<base>/request/measure-codecs', schema: measureCodecs },
  'codecs-measured': { what: 'data of <base>/response/measure-codecs', schema: codecsMeasured },
  'measure-frame': { what: '<base>/request/measure-frame', schema: measureFrame },
  'frame-measured': { what: 'data of <base>/response/measure-frame', schema: frameMeasured },
  tune: { what: '<base>/request/tune', schema: tuneRequest },
  tuned: { what: 'data of <base>/response/tune', schema: tunedAnswer },
  'node-invite': { what: '<base>/request/node-invite', schema: nodeInvite },
  'node-invited': { what: 'data of <base>/response/node-invite', schema: nodeInvited },
  trace: { what: '<base>/trace/<camera>', schema: frameTrace },
  'trace-request': { what: '<base>/request/trace', schema: traceRequest },
  'trace-answer': { what: 'data of <base>/response/trace', schema: traceAnswer },
  'node-drain': { what: '<base>/request/node-drain', schema: nodeDrain },
  'node-drained': { what: 'data of <base>/response/node-drain', schema: nodeDrained },
  'update-nodes': { what: '<base>/request/update', schema: updateRequest },
  'nodes-updating': { what: 'data of <base>/response/update', schema: updateAnswer },
  'node-readmit': { what: '<base>/request/node-readmit', schema: nodeReadmit },
  'node-readmitted': { what: 'data of <base>/response/node-readmit', schema: nodeReadmitted },
  'node-revoke': { what: '<base>/request/node-revoke', schema: nodeRevoke },
  'node-revoked': { what: 'data of <base>/response/node-revoke', schema: nodeRevoked },
  work: { what: '<base>-wire/1/<to>/work/<from> (CBOR)', schema: workMessage },
  'work-result': { what: '<base>-wire/1/<to>/result/<from> (CBOR)', schema: resultMessage },
  tensor: { what: '<base>-wire/1/<to>/tensor/<from> (CBOR)', schema: tensorMessage },
  'born-frame': { what: '<base>-wire/1/central/frame/<from> (CBOR)', schema: bornFrameMessage },
  'frame-order': { what: '<base>-wire/1/<to>/frame/central (CBOR)', schema: bornFrameOrder },
  control: { what: '<base>-wire/1/<to>/control/<from> (CBOR)', schema: controlMessage },
  manifest: { what: 'a model on the wire, inside `prepare` (CBOR)', schema: modelManifest },
  'blob-get': { what: '<base>-wire/1/<to>/blob-get/<from> (CBOR)', schema: blobGetMessage },
  'blob-part': { what: '<base>-wire/1/<to>/blob-part/<from> (CBOR)', schema: blobPartMessage },
  echo: { what: '<base>-wire/1/<to>/echo/<from> (CBOR)', schema: echoMessage },
  part: { what: 'a part of a body over 256 KiB, on any wire topic (CBOR)', schema: partMessage },
};

/** JSON Schema (draft 2020-12) of a schema. Byte strings, which JSON does not have, are described in words. */
export function jsonSchemaOf(name: string, { what, schema }: NamedSchema): object {
  const converted = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: () => ({ description: 'CBOR byte string' }),
  });
  return { title: `tessera ${name}`, description: what, ...converted };
}
