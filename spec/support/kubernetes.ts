import { Deployment } from 'kubernetes-models/apps/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { Service } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';

const MODELS = { Deployment, Service, PodDisruptionBudget } as const;

/** The resources of a manifest, by kind. */
export interface Manifest {
  readonly Deployment: Deployment;
  readonly Service: Service;
  readonly PodDisruptionBudget: PodDisruptionBudget;
}

/**
 * Reads a manifest, and validates it by the schemas of Kubernetes.
 *
 * Its API server drops a field that it does not know, such as `terminationGracePeriodSecond`, and the schemas permit it. So the fields
 * are collected that the validator does not look at.
 *
 * @throws Error for a document that is not valid, or has an unknown field.
 */
export function readManifest(text: string): Manifest {
  const resources: Record<string, unknown> = {};
  for (const document of parseAllDocuments(text)) {
    if (document.errors.length > 0) throw document.errors[0];
    const data = document.toJS();
    const Model = MODELS[data.kind as keyof typeof MODELS];
    if (Model === undefined) throw new Error(`There is no schema for ${data.kind}`);
    const model = new Model(data);
    const { observed, unread } = observing({ ...model });
    Object.defineProperties(model, Object.getOwnPropertyDescriptors(observed));
    model.validate();
    const unknown = unread();
    if (unknown.length > 0) throw new Error(`${data.kind} has unknown fields: ${unknown.join(', ')}`);
    resources[data.kind] = model;
  }
  return resources as unknown as Manifest;
}

/** @returns An object like the given one, and a function that lists the fields in it that have not been read. */
function observing<T extends object>(data: T): { observed: T; unread: () => string[] } {
  const fields = new Set<string>();
  const observe = <V>(value: V, path: string): V => {
    if (typeof value !== 'object' || value === null) return value;
    const copy = (Array.isArray(value) ? [] : {}) as Record<string, unknown>;
    for (const [name, inner] of Object.entries(value)) {
      const at = `${path}.${name}`;
      const observed = observe(inner, at);
      fields.add(at);
      const get = () => {
        fields.delete(at);
        return observed;
      };
      Object.defineProperty(copy, name, { get, enumerable: true, configurable: true });
    }
    return copy as V;
  };
  return { observed: observe(data, ''), unread: () => [...fields] };
}
