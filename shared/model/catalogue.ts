import { z } from '../schema.ts';

/**
 * config/models.yaml: models that `tessera model add NAME` can download. `card` is the content of model.yaml without
 * name and origin.
 */
export const catalogueSchema = z.strictObject({
  version: z.literal(1),
  models: z.record(
    z.string(),
    z.strictObject({
      about: z.string(),
      /** Pinned to a commit, so that it cannot change. */
      url: z.url(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      license: z.string(),
      source: z.url(),
      card: z.record(z.string(), z.unknown()),
    }),
  ),
});

/** Models that can be downloaded by name. */
export type Catalogue = z.infer<typeof catalogueSchema>;
/** One model of the catalogue. */
export type CatalogueEntry = Catalogue['models'][string];
