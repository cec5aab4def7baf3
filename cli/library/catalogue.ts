import { type ModelCard, parseCard } from '../../shared/model/card.ts';
import { type Catalogue, type CatalogueEntry, catalogueSchema } from '../../shared/model/catalogue.ts';
import { readText } from '../../shared/runtime/file.ts';
import { parseYaml } from '../../shared/runtime/yaml.ts';
import { parse } from '../../shared/schema.ts';

/** Reads config/models.yaml, or a file like it. Throws TesseraError TESSERA_CONFIG. */
export async function readCatalogue(path: string): Promise<Catalogue> {
  const value = parseYaml(await readText(path), path, 'TESSERA_CONFIG');
  return parse(catalogueSchema, value, 'TESSERA_CONFIG', path);
}

/** The card of a model that the catalogue knows. Throws TesseraError TESSERA_MODEL_CARD. */
export function catalogueCard(name: string, { sha256, license, source, card }: CatalogueEntry): ModelCard {
  return parseCard({ name, sha256, license, source, ...card }, `catalogue entry "${name}"`);
}
