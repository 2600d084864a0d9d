export const certificateInfo = (_o: unknown): never[] => [];
