import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { type Entry, home } from '../support/entries.ts';
import { Declarations } from './declarations.ts';

/** Where the reports are kept, in the repository. */
const folder = join(home, 'spec/api');

export const pathOf = ({ name }: Entry): string => join(folder, `${name}.api.md`);

/** The public API of each entry as a text, which changes where a user's program could notice it. */
export async function reports(): Promise<Map<Entry, string>> {
  const declarations = await Declarations.build();
  try {
    const texts = new Map<Entry, string>();
    for (const entry of declarations.entries) texts.set(entry, await report(declarations, entry));
    return texts;
  } finally {
    await declarations.remove();
  }
}

async function report(declarations: Declarations, entry: Entry): Promise<string> {
  const project = declarations.folder;
  const reportFolder = join(project, 'reports');
  await mkdir(reportFolder, { recursive: true });
  const modules = { target: 'ES2022', lib: ['ES2023'], module: 'NodeNext', moduleResolution: 'NodeNext' };
  const compilerOptions = { ...modules, types: ['node'], strict: true, skipLibCheck: true };
  const silent = { default: { logLevel: ExtractorLogLevel.None } };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: project,
      mainEntryPointFilePath: declarations.fileOf(entry),
      newlineKind: 'lf',
      compiler: { overrideTsconfig: { compilerOptions, include: ['dist'] } },
      apiReport: {
        enabled: true,
        reportFileName: `${entry.name}.api.md`,
        reportFolder,
        reportTempFolder: join(project, 'temp'),
        includeForgottenExports: true,
      },
      // Doc-comments have a spec of their own.
      messages: {
        compilerMessageReporting: silent,
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(project, 'package.json'),
  });
  const failures: string[] = [];
  Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      if (message.logLevel === ExtractorLogLevel.Error) failures.push(message.text);
      message.handled = true;
    },
  });
  if (failures.length > 0) throw new Error(failures.join('\n'));
  const text = await readFile(join(reportFolder, `${entry.name}.api.md`), 'utf8');
  return `${text
    .replace(/^ *\/\/ \(undocumented\)\n/gm, '')
    .replaceAll(' (undocumented)', '')
    .trimEnd()}\n`;
}

// npm run api
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  for (const [entry, text] of await reports()) await writeFile(pathOf(entry), text);
