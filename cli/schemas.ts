import { configSchema } from '../shared/config/schema.ts';
import { cardSchema } from '../shared/model/card-schema.ts';
import { planSchema } from '../shared/plan/validate.ts';
import * as messages from '../shared/protocol/messages.ts';
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
  result: { what: '<base>/result/<camera>/<model>', schema: messages.resultObject },
  tensor: { what: '<base>/result/<camera>/<model>/tensor (CBOR)', schema: messages.tensorMessage },
  frame: { what: '<base>/input/<camera>: a frame in an envelope (CBOR)', schema: messages.frameEnvelope },
  info: { what: '<base>/node/<node>/info', schema: messages.nodeInfo },
  heartbeat: { what: '<base>/node/<node>/heartbeat', schema: messages.heartbeat },
  'central-status': { what: '<base>/central/<id>/status', schema: messages.centralStatus },
  'left-out': { what: '<base>/central/central/left-out', schema: messages.leftOut },
  'central-models': { what: '<base>/central/central/models', schema: messages.centralModels },
  'plan-status': { what: '<base>/plan/<model>', schema: messages.planStatus },
  'node-event': { what: '<base>/event/node/<node>', schema: messages.nodeEvent },
  stats: { what: '<base>/stats', schema: messages.stats },
  request: { what: '<base>/request/<command>', schema: messages.request },
  response: { what: '<base>/response/<command>', schema: messages.response },
  'node-invite': { what: '<base>/request/node-invite', schema: messages.nodeInvite },
  'node-invited': { what: 'data of <base>/response/node-invite', schema: messages.nodeInvited },
  'node-revoke': { what: '<base>/request/node-revoke', schema: messages.nodeRevoke },
  'node-revoked': { what: 'data of <base>/response/node-revoke', schema: messages.nodeRevoked },
  work: { what: '<base>-wire/1/<to>/work/<from> (CBOR)', schema: messages.workMessage },
  'work-result': { what: '<base>-wire/1/<to>/result/<from> (CBOR)', schema: messages.resultMessage },
  control: { what: '<base>-wire/1/<to>/control/<from> (CBOR)', schema: messages.controlMessage },
  manifest: { what: 'a model on the wire, inside `prepare` (CBOR)', schema: messages.modelManifest },
  'blob-get': { what: '<base>-wire/1/<to>/blob-get/<from> (CBOR)', schema: messages.blobGetMessage },
  'blob-part': { what: '<base>-wire/1/<to>/blob-part/<from> (CBOR)', schema: messages.blobPartMessage },
  part: { what: 'a part of a body over 256 KiB, on any wire topic (CBOR)', schema: messages.partMessage },
};

/** JSON Schema (draft 2020-12) of a schema. Byte strings, which JSON does not have, are described in words. */
export function jsonSchemaOf(name: string, { what, schema }: NamedSchema): object {
  const converted = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: () => ({ description: 'CBOR byte string' }),
  });
  return { title: `tessera ${name}`, description: what, ...converted };
}
