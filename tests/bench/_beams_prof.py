"""Where a step's time goes."""
import sys, time, json, tempfile, statistics
from pathlib import Path
import torch
sys.path.insert(0, ".")
from tests.bench.gpu import write_folder, random_prompts, KV_BYTES, seconds
from nbllm import LLM, BeamSearchParams
out = Path(sys.argv[1]); names = sys.argv[2:]
for name in names:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        llm = LLM(folder, load_format="dummy", kv_cache_memory_bytes=KV_BYTES, device="cuda")
        with llm:
            for width, count in ((5, 1), (8, 16)):
                prompts = random_prompts(count, 128, 128, 2)
                params = BeamSearchParams(beam_width=width, max_tokens=64, ignore_eos=True)
                t0 = time.perf_counter(); llm.beam_search(prompts, params); t1 = time.perf_counter()
                took = seconds(llm, lambda: llm.beam_search(prompts, params), 5)
                one = BeamSearchParams(beam_width=width, max_tokens=1, ignore_eos=True)
                llm.beam_search(prompts, one)
                first = seconds(llm, lambda: llm.beam_search(prompts, one), 5)
                warm = []
                for _ in range(5):
                    torch.cuda.synchronize(); b = time.perf_counter(); llm.beam_search(prompts, params); warm.append(time.perf_counter() - b)
                # replays alone
                seat = list(llm.engine.runner._seats.values())[-1]
                graph = [g for k, g in llm.engine.runner.graphs._made.items() if k[0] == "beams"][-1]
                ev = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
                seat.state.done.fill_(1); torch.cuda.synchronize()
                ev[0].record()
                for _ in range(20): graph.replay()
                ev[1].record(); torch.cuda.synchronize()
                print(f"{name} {width}x{count}: first call {t1-t0:.3f} s, search {took*1e3:.2f} ms, cached prompt {statistics.median(warm)*1e3:.2f}, one step {first*1e3:.2f} ms, idle replay {ev[0].elapsed_time(ev[1])/20*1e3:.1f} us", flush=True)
                outs = llm.beam_search(prompts, params)
                b = time.perf_counter(); frames = [o.to_frame() for o in outs]; c = time.perf_counter(); tr = [o.trace_frame() for o in outs]; d = time.perf_counter()
                print(f"   to_frame {1e3*(c-b):.1f} ms, trace_frame {1e3*(d-c):.1f} ms", flush=True)
                llm.reset_prefix_cache()
                with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]) as prof:
                    llm.beam_search(prompts, params)
                table = prof.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=60)
                (out / f"{name}_{width}x{count}.txt").write_text(table)
                ev = [e for e in prof.events() if e.device_type == torch.autograd.DeviceType.CUDA]
                ev.sort(key=lambda e: e.time_range.start)
                busy = sum(e.time_range.end - e.time_range.start for e in ev)
                span = ev[-1].time_range.end - ev[0].time_range.start
                print(f"   profiled: gpu busy {busy/1e3:.2f} ms of {span/1e3:.2f}; {len(ev)} kernels")
                agg = {}
                for e in ev:
                    a = agg.setdefault(e.name[:60], [0, 0.0]); a[0] += 1; a[1] += e.time_range.end - e.time_range.start
                for k, (n, t) in sorted(agg.items(), key=lambda kv: -kv[1][1])[:14]:
                    print(f"     {t/1e3:8.2f} ms {n:6d} x {t/n:7.2f} us  {k}")
        torch.cuda.empty_cache()
