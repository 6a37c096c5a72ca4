/** What nbllm/views/status.py says of the models of a kernel. Memory in bytes. */

export interface Status {
  version: number;
  current: string | null;
  models: Model[];
}

export interface Model {
  name: string;
  architecture: string;
  quantization: string | null;
  dtype: string;
  device: string;
  num_parameters: number;
  max_model_len: number;
  asleep: boolean;
  /** Its weights are the user's. */
  adopted: boolean;
  memory: { weights: number; tables: number; kv_cache: number };
  kv_cache_bound: number;
  /** Of the whole device; empty where nobody tells. */
  device_memory: { free?: number; total?: number };
  num_pages: number;
  num_used_pages: number;
  /** Tokens of prompts. */
  prefix_cache_queries: number;
  prefix_cache_hits: number;
  generation_tokens: number;
  /** Of the latest steps, however long ago. */
  tokens_per_second: number;
  num_requests: number;
  /** The first of them. */
  requests: Request[];
}

export interface Request {
  request_id: string;
  state: string;
  /** The end of it. */
  prompt: string;
  num_prompt_tokens: number;
  num_tokens: number;
  max_tokens: number;
}

/** The model that magics use; null: none is loaded. */
export function currentModel(status: Status | null): Model | null {
  return status?.models.find(model => model.name === status.current) ?? null;
}

/** Tokens per second at this moment. */
export function speedOf(model: Model): number {
  return model.num_requests ? model.tokens_per_second : 0;
}
