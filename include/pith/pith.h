/* pith.h - run language models that cache a small latent vector per token, on a CPU.
 *
 * This header is the manual. Functions stand in the order in which a program needs them:
 *
 *     model bytes -> pith_model -> pith_session -> eval(tokens) -> logits -> pith_sampler -> pith_tokenizer -> text
 *
 * Memory.    Every object lives in memory that the caller hands in: ask `pith_X_bytes`, provide that many bytes at an
 *            address that is a multiple of PITH_ALIGNMENT, call `pith_X_init`. Nothing is allocated inside and nothing
 *            is freed: drop the memory when you are done. The memory and the model's bytes must outlive the object and
 *            stay where they are. After init no function calls the heap, opens a file or takes a lock.
 * Errors.    Every function that can fail returns a pith_status and takes a `pith_error*` (NULL allowed) last. A call
 *            that fails writes one sentence there, which names the argument, option or field at fault and says what to
 *            do; a call that succeeds leaves the empty string. A failed call leaves the object as it was, unless the
 *            function says otherwise. The library never aborts, throws, prints or exits.
 * Names.     `x_bytes` and `n_x` say how much the caller hands in, `capacity` how much room an output has, and `out_x`
 *            is where a result goes.
 * Structs    that begin with struct_size grow at their end from version to version. Make one zeros, set struct_size to
 *            its sizeof, then what you need. In C99 and C++20:
 *                pith_session_options options = {.struct_size = sizeof options};
 *            Zero, or NULL, means the default everywhere; what would be a natural zero has a name, such as PITH_GREEDY.
 *            A struct of an older program is taken for one whose new fields are zeros, and never written beyond its
 *            end; one of a newer program is taken if what this version does not know is zeros, otherwise PITH_E_ABI.
 * Trust.     Model bytes are untrusted: they are checked once, at init; afterwards they are read without checks, so
 *            they must not change. Replace a model file by renaming a new one over it, never by writing into it.
 * Threads.   Models, tokenizers, chats, grammars and token tries are immutable after init: share them freely. A
 *            session, sampler, matcher or stream is used by one thread at a time, any thread; a session entered by a
 *            second one answers PITH_E_BUSY and is unharmed. The library's own threads are made by pith_session_init
 *            alone: one pool for all sessions of the process, at most one thread fewer than there are CPUs. They sleep
 *            between evaluations, run no function of the host's and block its signals. Where the system gives no more
 *            threads, sessions use fewer.
 * Fork.      A child of fork has none of the library's threads: its sessions go on, each on its caller's thread alone,
 *            until pith_session_init makes threads in the child. A session that another thread was inside of answers
 *            PITH_E_BUSY for ever: drop its memory.
 * Unloading. dlclose ends the library's threads first. No other thread may be inside a function of the library.
 * OpenMP.    A library built with PITH_OPENMP=ON takes its threads from OpenMP's runtime, which ends the process
 *            where the system gives too few of them; it is never unloaded. pith_session_init looks for them first.
 * Callbacks  (executor, progress, clock) return: an exception or a longjmp out of one leaves the session unusable. They
 *            run in the library's floating-point environment, and find the host's again afterwards.
 * Host.      The floating-point environment of the calling thread (rounding, flushed denormals, unmasked exceptions)
 *            changes no result and is as it was after every call; the locale, signals and their handlers change
 *            nothing. A call needs at most 32 KiB of the caller's stack.
 * Same bits. The same calls give bit-identical logits on every CPU, instruction set and thread count.
 * Strings    are UTF-8. Those that the library hands out as (pointer, bytes) are not NUL-terminated; `const char*`
 *            alone are.
 *
 * Left out   on purpose: adapters (LoRA). Weights are used where they lie, in packed form and shared by all sessions;
 *            merge an adapter into the float model before packing it.
 */
#ifndef PITH_H
#define PITH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(PITH_SHARED) && defined(_WIN32)
#ifdef PITH_BUILDING
#define PITH_API __declspec(dllexport)
#else
#define PITH_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define PITH_API __attribute__((visibility("default")))
#else
#define PITH_API
#endif

/* Of every function that returns a pith_status: a compiler warns where nobody looks at it. */
#if (defined(__cplusplus) && __cplusplus >= 201703L) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define PITH_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
#define PITH_NODISCARD __attribute__((warn_unused_result))
#else
#define PITH_NODISCARD
#endif
#ifdef __GNUC__ /* looks at no memory */
#define PITH_CONST __attribute__((const))
#else
#define PITH_CONST
#endif

/* ---- Version -------------------------------------------------------------------------------------------------- */

#define PITH_VERSION_MAJOR 0
#define PITH_VERSION_MINOR 3
#define PITH_VERSION_PATCH 0

/* The version of this header as one number that grows: 2000 for 0.2.0, 1002003 for 1.2.3. */
#define PITH_VERSION_NUMBER (PITH_VERSION_MAJOR * 1000000 + PITH_VERSION_MINOR * 1000 + PITH_VERSION_PATCH)

/* Version of the library that runs, "major.minor.patch". */
PITH_API const char* pith_version(void);

/* The same as a number. From 0.2.0 on, a program runs unchanged on every library whose number is at least the
 * PITH_VERSION_NUMBER that it was compiled with, as long as the library's soname is the same; on an older one, down to
 * 2000, it runs if it calls no function and sets no field that came later. docs/abi.md has the promise in full. */
PITH_API uint32_t pith_version_number(void);

/* ---- Status --------------------------------------------------------------------------------------------------- */

/* Later versions may return statuses that are not here: treat an unknown one as a failure. */
typedef enum pith_status {
  PITH_OK = 0,
  /* The caller's mistake. */
  PITH_E_ARGUMENT = 10,  /* an argument is NULL or out of range */
  PITH_E_ABI = 11,       /* struct_size is not set, or the struct asks for what only a newer version has */
  PITH_E_MEMORY = 12,    /* the memory handed in is smaller than pith_X_bytes says */
  PITH_E_ALIGNMENT = 13, /* an address is not a multiple of PITH_ALIGNMENT */
  PITH_E_STATE = 14,     /* not possible now: poisoned by PITH_E_NUMERIC, or tokens that it needs were overwritten */
  PITH_E_BUSY = 15,      /* another thread is inside this session */
  PITH_E_CAPACITY = 16,  /* the capacity of an output is too small; the needed one was written to its out_ count */
  PITH_E_CANCELLED = 17, /* pith_session_cancel ended the evaluation */
  /* The model file is malformed. */
  PITH_E_TRUNCATED = 20, /* the bytes end before what they declare */
  PITH_E_MAGIC = 21,     /* not a GGUF file */
  PITH_E_VERSION = 22,   /* a GGUF version other than 3 */
  PITH_E_ENDIAN = 23,    /* a big-endian GGUF file */
  PITH_E_LIMIT = 24,     /* a count or length beyond the documented limits */
  PITH_E_KEY = 25,       /* an empty or unprintable key or tensor name */
  PITH_E_DUPLICATE = 26, /* a key or tensor name that occurs twice */
  PITH_E_TYPE = 27,      /* an unknown type, or not the type that the key must have */
  PITH_E_VALUE = 28,     /* a value outside its type's domain, such as a boolean of 2 */
  PITH_E_OFFSET = 29,    /* general.alignment, or a tensor's offset that is no multiple of it */
  PITH_E_DIMS = 30,      /* a tensor with no, too many, zero or negative dimensions */
  PITH_E_OVERFLOW = 31,  /* sizes that do not fit into 64 bits */
  PITH_E_OVERLAP = 32,   /* two tensors that share bytes */
  /* The model file is well formed, but not a model that this version runs. */
  PITH_E_ARCHITECTURE = 40, /* general.architecture is missing or another one: run `pith quantize` first */
  PITH_E_MISSING = 41,      /* a required key or tensor is missing, or one that was asked for */
  PITH_E_HPARAM = 42,       /* a hyper-parameter out of range or at odds with another */
  PITH_E_SHAPE = 43,        /* a tensor whose shape does not follow from the hyper-parameters */
  PITH_E_UNSUPPORTED = 44,  /* a feature or type that this version does not run */
  PITH_E_VOCABULARY = 45,   /* tokens, merges or special ids that do not fit together */
  PITH_E_NOT_PACKED = 46,   /* a float model: run `pith quantize` first */
  PITH_E_SPLIT = 47,        /* one part of a model that was split over several files */
  /* A saved state cannot be restored. */
  PITH_E_SAVED_TRUNCATED = 50, /* bytes are missing, or too many */
  PITH_E_SAVED_KIND = 51,      /* not a state, or that of another kind of object */
  PITH_E_SAVED_VERSION = 52,   /* written by a version whose format this one does not read */
  PITH_E_SAVED_CHECKSUM = 53,  /* the bytes do not have the stored hash */
  PITH_E_SAVED_MISMATCH = 54,  /* of another model, or of an object with other options */
  PITH_E_SAVED_VALUE = 55,     /* the hash is right, but no object could have written this */
  /* Numbers. */
  PITH_E_NUMERIC = 60, /* NaN or infinity */
  /* Grammars. */
  PITH_E_GRAMMAR = 70, /* a grammar or schema is malformed, or no text fits it */
  PITH_E_TOKEN = 71,   /* the token does not fit the grammar here */
  PITH_E_NO_TOKEN = 72 /* the vocabulary has no token that fits the grammar here */
} pith_status;

/* One short English phrase per status; never NULL, also for values that are no status. */
PITH_API const char* pith_status_string(pith_status status);

/* What went wrong, in one sentence; NUL-terminated, and cut where it would be longer. Needs no initialisation. */
typedef struct pith_error {
  char message[256];
} pith_error;

/* Address alignment of model bytes and of all memory handed in, in bytes. */
#define PITH_ALIGNMENT 64

/* Bytes from `address` up to the next multiple of PITH_ALIGNMENT: 0 .. 63. With it memory from malloc will do:
 *
 *     char* block = malloc(bytes + PITH_ALIGNMENT);
 *     void* memory = block + pith_alignment_shift(block);
 *
 * Model bytes need it too, for weights are used where they lie. A file that is mapped or read from its beginning is
 * fine. A model inside another file, such as an application's archive of assets, is mapped with that file, and lies
 * right if its offset there is a multiple of PITH_ALIGNMENT: pack it so. Otherwise copy it once: `block` of data_bytes
 * + PITH_ALIGNMENT, then memcpy(block + pith_alignment_shift(block), asset, data_bytes). */
PITH_API size_t pith_alignment_shift(const void* address) PITH_CONST;

/* ---- Model ---------------------------------------------------------------------------------------------------- */

/* The checked view of a packed model file. */
typedef struct pith_model pith_model;

/* Writes the bytes that pith_model_init needs (under 1 MiB for real models: the weights stay in `data`).
 * `data`: the whole packed GGUF file at a multiple of PITH_ALIGNMENT. Reads the first 24 bytes of it. */
PITH_NODISCARD PITH_API pith_status pith_model_bytes(const void* data, size_t data_bytes, size_t* out_bytes,
                                                     pith_error* error);

/* Checks the file from end to end, except the values of the weights, and makes a model of it in `memory`.
 * Returns PITH_OK and *out_model, or what is wrong with the file. */
PITH_NODISCARD PITH_API pith_status pith_model_init(const void* data, size_t data_bytes, void* memory,
                                                    size_t memory_bytes, pith_model** out_model, pith_error* error);

typedef enum pith_attention_kind { PITH_ATTENTION_KIND_LATENT = 0, PITH_ATTENTION_KIND_MHA = 1 } pith_attention_kind;
typedef enum pith_gate_kind { PITH_GATE_NONE = 0, PITH_GATE_UP = 1, PITH_GATE_LATENT = 2 } pith_gate_kind;

/* The shape of a model. */
typedef struct pith_model_info {
  uint32_t struct_size;
  uint32_t attention_kind;     /* pith_attention_kind */
  uint32_t gate_kind;          /* pith_gate_kind */
  uint32_t n_layers;           /* L */
  uint32_t width;              /* d, of the residual stream */
  uint32_t n_heads;            /* n_h */
  uint32_t n_kv_heads;         /* = n_heads unless attention is grouped MHA */
  uint32_t content_width;      /* d_n per head; 0 for MHA */
  uint32_t rope_width;         /* d_r, of the rotary key that all heads share; the head width for MHA */
  uint32_t value_width;        /* d_v per head */
  uint32_t latent_width;       /* r; 0 for MHA */
  uint32_t query_latent_width; /* 0: full-rank query */
  uint32_t gate_width;         /* d_e; 0 without gate */
  uint32_t layer_group_size;   /* layers that share one gate table; 0 without gate */
  uint32_t feed_forward_width;
  uint32_t vocab_size;     /* V */
  uint32_t context_length; /* tokens that training saw */
  uint32_t tied_output;    /* 1: the output matrix is the embedding */
  uint64_t n_parameters;
  uint64_t weight_bytes;      /* of all tensors, as stored */
  uint64_t step_weight_bytes; /* of what one decoded token reads: whole tensors, and the experts chosen for it */
  uint32_t n_experts;         /* E of a layer that has them, 0 where none has. From here on not in 0.2.0 */
  uint32_t n_used_experts;    /* chosen for a token */
  uint64_t expert_bytes;      /* of weight_bytes, those of all experts */
  uint64_t step_expert_bytes; /* of step_weight_bytes, those of the chosen ones */
} pith_model_info;

PITH_NODISCARD PITH_API pith_status pith_model_get_info(const pith_model* model, pith_model_info* out_info,
                                                        pith_error* error);

typedef enum pith_value_type {
  PITH_VALUE_UINT = 0,
  PITH_VALUE_INT = 1,
  PITH_VALUE_FLOAT = 2,
  PITH_VALUE_BOOL = 3,
  PITH_VALUE_STRING = 4,
  PITH_VALUE_ARRAY = 5
} pith_value_type;

/* A metadata entry, or one element of an array; pointers lead into the model's bytes. */
typedef struct pith_metadata {
  uint32_t struct_size;
  uint32_t type;         /* pith_value_type */
  uint32_t element_type; /* ARRAY: pith_value_type of its elements; otherwise 0 */
  uint32_t index;        /* of the entry in the file */
  const char* key;
  size_t key_bytes;
  uint64_t uint_value;  /* UINT, BOOL (0 or 1) */
  int64_t int_value;    /* INT */
  double float_value;   /* FLOAT */
  const char* string;   /* STRING */
  size_t string_bytes;  /* STRING */
  uint64_t array_count; /* ARRAY: elements */
} pith_metadata;

/* Entries of the file, in its order. PITH_E_ARGUMENT: `index` is not below the count. */
PITH_API size_t pith_model_metadata_count(const pith_model* model);
PITH_NODISCARD PITH_API pith_status pith_model_get_metadata(const pith_model* model, size_t index,
                                                            pith_metadata* out_metadata, pith_error* error);

/* The entry of a key, such as "general.license". PITH_E_MISSING: the file has no such key. */
PITH_NODISCARD PITH_API pith_status pith_model_find_metadata(const pith_model* model, const char* key,
                                                             pith_metadata* out_metadata, pith_error* error);

/* One element of the array at `index`. PITH_E_TYPE: no array. PITH_E_ARGUMENT: `element` is not below its array_count.
 * An array of strings is walked from its beginning: to read all of a vocabulary, decode its tokens. */
PITH_NODISCARD PITH_API pith_status pith_model_get_metadata_element(const pith_model* model, size_t index,
                                                                    uint64_t element, pith_metadata* out_metadata,
                                                                    pith_error* error);

/* One tensor; pointers lead into the model's bytes. */
typedef struct pith_tensor {
  uint32_t struct_size;
  uint32_t reserved; /* 0 */
  const char* name;
  size_t name_bytes;
  const char* type; /* "q4", "q4m", "q8", "f32" (packed matrices) or "vector" (plain float32) */
  uint64_t rows;    /* logical rows; 1 for a vector */
  uint64_t cols;    /* logical columns */
  const void* data;
  uint64_t data_bytes; /* as stored, padding included */
  const char* sha256;  /* 64 lower-case hex digits, not NUL-terminated, or NULL where the file has none */
#if UINTPTR_MAX == UINT32_MAX
  uint32_t reserved_end; /* 0; with addresses of 32 bits, what would be padding */
#endif
} pith_tensor;

/* PITH_E_ARGUMENT: `index` is not below the count. */
PITH_API size_t pith_model_tensor_count(const pith_model* model);
PITH_NODISCARD PITH_API pith_status pith_model_get_tensor(const pith_model* model, size_t index,
                                                          pith_tensor* out_tensor, pith_error* error);

/* ---- Session -------------------------------------------------------------------------------------------------- */

/* One conversation with a model: its cache of latents, its scratch, its position. */
typedef struct pith_session pith_session;

typedef enum pith_precision { PITH_PRECISION_I8 = 0, PITH_PRECISION_F32 = 1 } pith_precision;

typedef enum pith_attention {
  PITH_ATTENTION_DEFAULT = 0, /* the fast form: absorbed for MLA and gated latents, grouped by token id for gate `up` */
  PITH_ATTENTION_MATERIALISE = 1 /* materialise keys and values of the whole context, tile by tile */
} pith_attention;

/* pool_bytes: no pool. */
#define PITH_POOL_NONE UINT64_MAX

/* Runs task(task_context, i) for every i in [0, n), on any threads, at the same time as far as it can, and returns when
 * all of them have returned: what thread pools call a parallel for (dispatch_apply, tbb::parallel_for). Called once per
 * evaluation, from the evaluating thread. Tasks wait for each other's work, spinning for some 50 microseconds and then
 * sleeping; an executor that runs them one after the other, or not all of them, is slow and still right. One that runs
 * none gets PITH_E_ARGUMENT from the call that needed it, which then has done nothing. */
typedef void (*pith_executor)(void* executor_context, uint32_t n, void (*task)(void* task_context, uint32_t i),
                              void* task_context);

/* Called while a prompt is computed, after every layer of every chunk of tokens: `done` of `total` steps of this
 * evaluation are over, `total` = its tokens times the layers; tokens too few for a chunk are not reported. On the
 * evaluating thread, or with an executor on one of its threads. May call pith_session_cancel and nothing else of the
 * session. */
typedef void (*pith_progress)(void* progress_context, uint64_t done, uint64_t total);

typedef struct pith_session_options {
  uint32_t struct_size;
  uint32_t capacity;    /* tokens that the cache holds, 1 .. 2^24; 0: the model's context length */
  uint32_t n_keep;      /* first tokens that stay when the ring is full, < capacity; the oldest others go */
  uint32_t cache;       /* pith_precision of the cached latents */
  uint32_t activations; /* pith_precision of the inputs of matrix products */
  uint32_t attention;   /* pith_attention */
  uint32_t max_threads; /* 1 .. 64; 0: 1. No more run than the calling thread of init may use CPUs */
  /* Tokens of a prompt that are computed together, 1 .. 2048, layer after layer; 0: 512; never more than capacity -
   * n_keep, and 1 if that is too few (pith_session_eval). More of them materialise less of a long context and take more
   * memory (pith_session_bytes). 1: every token alone, in the least memory. */
  uint32_t chunk;
  const char* tier; /* instruction set by name ("scalar", "avx2"); NULL: the best that this CPU has */
  /* The caller's threads, max_threads of which a session uses; NULL: the library's own. */
  pith_executor executor;
  void* executor_context;
  pith_progress progress; /* or NULL */
  void* progress_context;
  /* Bytes for materialised keys, values and gates of gated models (gate `up`), beside the cache; rounded down to whole
   * rows, at most one per cached token. More is faster. 0: rows for 3/8 of the capacity, and 64. PITH_POOL_NONE: none,
   * which is legal. Other models have no such pool. */
  uint64_t pool_bytes;
  /* Experimental: see the end of this header. */
  uint64_t (*clock)(void* clock_context);
  void* clock_context;
} pith_session_options;

/* Makes *options the defaults: zeros, and struct_size. Pass sizeof *options. */
PITH_API void pith_session_options_init(pith_session_options* options, uint32_t struct_size);

/* Memory of a session before any is taken. */
typedef struct pith_session_plan {
  uint32_t struct_size;
  uint32_t cache_elements_per_token; /* over all layers, without scalars: L (r + d_r), MHA: L 2 n_kv d_v */
  uint64_t session_bytes;            /* what pith_session_init needs, exactly */
  uint64_t cache_bytes;              /* of these, the ring of latents */
  uint64_t cache_bytes_per_token;    /* over all layers, scalars included */
  uint64_t pool_bytes;               /* of session_bytes, the pool of rows */
} pith_session_plan;

/* `options` NULL: the defaults. Pure arithmetic: touches no memory but the outputs. */
PITH_NODISCARD PITH_API pith_status pith_session_get_plan(const pith_model* model, const pith_session_options* options,
                                                          pith_session_plan* out_plan, pith_error* error);

/* Writes session_bytes of the plan: exact; one byte less is refused by pith_session_init. */
PITH_NODISCARD PITH_API pith_status pith_session_bytes(const pith_model* model, const pith_session_options* options,
                                                       size_t* out_bytes, pith_error* error);

/* Makes a session in `memory`, at position 0, and the threads that it lacks: the system allocates their stacks now, and
 * nothing later. Threads that it does not give are no failure: pith_session_threads says how many there are. An
 * executor is called once, to see that it runs tasks. */
PITH_NODISCARD PITH_API pith_status pith_session_init(const pith_model* model, const pith_session_options* options,
                                                      void* memory, size_t memory_bytes, pith_session** out_session,
                                                      pith_error* error);

/* Appends `n_tokens` tokens and computes the logits after the last of them. n_tokens = 0 does nothing. Tokens are taken
 * `chunk` at a time; eight and more (two with PITH_ATTENTION_MATERIALISE) are a prompt, computed together with keys and
 * values as PITH_ATTENTION_MATERIALISE has them. Fewer, such as the last few of a prompt, are steps: each has the bits
 * that it would have in a call of its own, though all read the weights once (gate `up` excepted), so that tokens that a
 * program expects are soon checked. With PITH_ATTENTION_MATERIALISE, and with MHA, all ways to cut a text into calls
 * give the same bits; otherwise prompts and steps differ as the two forms of attention do.
 * PITH_E_ARGUMENT: a token is not in 0 .. vocab_size-1 (nothing is appended).
 * PITH_E_CANCELLED: pith_session_cancel was called. The tokens before the one, or the chunk, that was being computed
 * are appended (pith_session_position says how many), that one has left no trace; logits are there only if none was
 * appended.
 * PITH_E_NUMERIC: a logit is NaN or infinite; the session then answers PITH_E_STATE until pith_session_reset, or until
 * it is rewound, restored or copied to. */
PITH_NODISCARD PITH_API pith_status pith_session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens,
                                                      pith_error* error);

/* [vocab_size] logits after the last evaluated token, valid until the next call on the session; NULL without one. */
PITH_API const float* pith_session_logits(const pith_session* session);

/* [width] of pith_model_info: the normed hidden state of the last evaluated token, which the output matrix multiplies;
 * valid as the logits are. An embedding of the text so far. NULL without one, and from a restore until the next
 * eval. */
PITH_API const float* pith_session_hidden(const pith_session* session);

/* pith_session_eval that hands out every token: `logits` [n_tokens, vocab_size], those after each token, for scores and
 * log-probabilities of a given text; `hidden` [n_tokens, width], the hidden states, for embeddings by their mean.
 * Either may be NULL. The numbers after a token are those that pith_session_logits and pith_session_hidden would give,
 * had the evaluation ended there with the same chunks. Of a cancelled evaluation, the tokens that are appended have
 * theirs. PITH_E_NUMERIC if any token's logits are not finite. */
PITH_NODISCARD PITH_API pith_status pith_session_eval_each(pith_session* session, const int32_t* tokens,
                                                           size_t n_tokens, float* logits, float* hidden,
                                                           pith_error* error);

/* Tokens evaluated since init or reset; the next token gets this position. */
PITH_API uint64_t pith_session_position(const pith_session* session);

/* Forgets all tokens. */
PITH_NODISCARD PITH_API pith_status pith_session_reset(pith_session* session, pith_error* error);

/* Ends the evaluation that runs in this session within one layer's time, and the time that taking the token back needs
 * (a few pool rows of a gated model are made again); without one, nothing happens. The one function that any
 * thread, or a signal handler, may call at any time. */
PITH_API void pith_session_cancel(pith_session* session);

/* Goes back to an earlier position, as if the tokens from there on had never been: with PITH_ATTENTION_MATERIALISE to
 * the same bits. There are no logits afterwards until the next eval (unless position is the present one).
 * PITH_E_ARGUMENT: a later position. PITH_E_STATE: tokens that the earlier position saw were overwritten (the ring is
 * full). */
PITH_NODISCARD PITH_API pith_status pith_session_rewind(pith_session* session, uint64_t position, pith_error* error);

/* Makes `to` what `from` is, poisoned or not: a conversation that forks. Both of the same model, with the same
 * capacity, n_keep, cache, activations, attention and pool (otherwise PITH_E_ARGUMENT, as for `to` == `from`); threads
 * and tier may differ. */
PITH_NODISCARD PITH_API pith_status pith_session_copy(pith_session* to, pith_session* from, pith_error* error);

/* State: a session as bytes, to go on after a restart with the same bits. Little-endian, versioned, with a hash, bound
 * to the model and to the options that pith_session_copy names; any damage is refused. A conversation that draws and
 * streams has three of them: those of the session, of the sampler (pith_sampler_save) and of the stream
 * (pith_stream_save). */

/* Bytes that pith_session_save may need, whatever the position; 0 for NULL. */
PITH_API size_t pith_session_state_bytes(const pith_session* session);

/* `capacity`: at least pith_session_state_bytes (otherwise PITH_E_CAPACITY, and *out_bytes is that number). *out_bytes:
 * the bytes written to `state`, in proportion to the tokens cached. PITH_E_STATE: the session is poisoned. */
PITH_NODISCARD PITH_API pith_status pith_session_save(pith_session* session, void* state, size_t capacity,
                                                      size_t* out_bytes, pith_error* error);

/* `state`, at any address, is untrusted. PITH_E_SAVED_TRUNCATED, _KIND, _VERSION, _CHECKSUM, _MISMATCH: refused, the
 * session is as it was. PITH_E_SAVED_VALUE: made to deceive; the session has forgotten all tokens. */
PITH_NODISCARD PITH_API pith_status pith_session_restore(pith_session* session, const void* state, size_t state_bytes,
                                                         pith_error* error);

/* Uses n_threads of the team from now on, 1 .. max_threads, or as many as there are. Changes speed and no bit. */
PITH_NODISCARD PITH_API pith_status pith_session_set_threads(pith_session* session, uint32_t n_threads,
                                                             pith_error* error);

/* How many threads the next evaluation works with, the caller's included, if no other session is using them then: of
 * those asked for, as many as there are CPUs, and as the system has given. 0 for NULL. Not in 0.2.0. */
PITH_API uint32_t pith_session_threads(const pith_session* session);

/* The instruction set that runs: "scalar", "avx2", ... */
PITH_API const char* pith_session_tier(const pith_session* session);

/* Names of the tiers compiled in, best first; NULL past the end. *out_usable (or NULL): whether this CPU has it. */
PITH_API const char* pith_tier_name(size_t index, int* out_usable);

/* ---- Sampler -------------------------------------------------------------------------------------------------- */

/* Draws the next token from logits. The same seed and logits give the same tokens on every machine. */
typedef struct pith_sampler pith_sampler;

#define PITH_GREEDY (-1.0f)                /* temperature: the likeliest token, the lowest id on a tie */
#define PITH_TOP_K_ALL UINT32_MAX          /* top_k: all tokens */
#define PITH_MIN_P_NONE (-1.0f)            /* min_p: drop none */
#define PITH_REPEAT_WINDOW_NONE UINT32_MAX /* repeat_window: no token */

typedef struct pith_sampler_options {
  uint32_t struct_size;
  float temperature;      /* > 0, or PITH_GREEDY; 0: 0.8 */
  uint32_t top_k;         /* keep the k likeliest, or PITH_TOP_K_ALL; 0: 40 */
  float top_p;            /* keep the smallest set with this probability, 0 < p <= 1, 1 is all; 0: 0.95 */
  float min_p;            /* drop tokens below min_p times the likeliest, 0 < p < 1, or PITH_MIN_P_NONE; 0: 0.05 */
  float repeat_penalty;   /* > 0; divides positive and multiplies negative logits of recent tokens, 1 is off; 0: 1 */
  uint32_t repeat_window; /* recent tokens that the penalty sees, 1 .. 65,536, or PITH_REPEAT_WINDOW_NONE; 0: 64 */
  uint32_t reserved;      /* 0 */
  uint64_t seed;          /* any; 0 is the default */
} pith_sampler_options;

/* Makes *options the defaults: zeros, and struct_size. Pass sizeof *options. */
PITH_API void pith_sampler_options_init(pith_sampler_options* options, uint32_t struct_size);

/* `options` NULL: the defaults. vocab_size: 1 .. 2^24, the model's. */
PITH_NODISCARD PITH_API pith_status pith_sampler_bytes(const pith_sampler_options* options, uint32_t vocab_size,
                                                       size_t* out_bytes, pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_sampler_init(const pith_sampler_options* options, uint32_t vocab_size,
                                                      void* memory, size_t memory_bytes, pith_sampler** out_sampler,
                                                      pith_error* error);

/* Tells the repetition penalty about a token that was not drawn by pith_sampler_draw: the prompt.
 * PITH_E_ARGUMENT: not in 0 .. vocab_size-1. */
PITH_NODISCARD PITH_API pith_status pith_sampler_accept(pith_sampler* sampler, int32_t token, pith_error* error);

/* Draws a token and accepts it. `logits`: [vocab_size], unchanged. In this order: penalty, temperature, top_k, top_p,
 * min_p, draw. PITH_E_NUMERIC: NaN or infinity among the logits, or all of them -infinity (-infinity alone is fine: a
 * token that must not be drawn). */
PITH_NODISCARD PITH_API pith_status pith_sampler_draw(pith_sampler* sampler, const float* logits, int32_t* out_token,
                                                      pith_error* error);

/* Starts the generator anew, as a sampler of this seed has it; recent tokens stay. For another answer. */
PITH_NODISCARD PITH_API pith_status pith_sampler_set_seed(pith_sampler* sampler, uint64_t seed, pith_error* error);

/* State: the generator and the recent tokens as bytes, as for pith_session_save. Bound to the vocabulary's size alone:
 * a sampler with other options may go on from it, and with a smaller window takes the latest tokens. A refused state
 * changes nothing. */
PITH_API size_t pith_sampler_state_bytes(const pith_sampler* sampler);
PITH_NODISCARD PITH_API pith_status pith_sampler_save(const pith_sampler* sampler, void* state, size_t capacity,
                                                      size_t* out_bytes, pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_sampler_restore(pith_sampler* sampler, const void* state, size_t state_bytes,
                                                         pith_error* error);

/* ---- Log-probabilities ---------------------------------------------------------------------------------------- */

/* A token and the natural logarithm of its probability. This struct has no struct_size, for it comes in arrays, and
 * does not grow. Not in 0.2.0. */
typedef struct pith_logprob {
  int32_t token;
  float logprob; /* <= 0; -INFINITY for a logit of -infinity, and below the range of float */
} pith_logprob;

/* How likely a token is, and which are the k likeliest: log softmax of `logits` [vocab_size], unchanged, summed in
 * double in the order of ids. Of a session's logits it is the model's own distribution, before penalty, temperature and
 * the rest of a sampler, so that the logarithms of a text's tokens add up to that of the text. Those that a token was
 * drawn from are there until it is evaluated (pith_session_logits); those of a given text, from pith_session_eval_each.
 * *out_logprob (or NULL): of `token`, which is not looked at with NULL. `top` [k] (k = 0: or NULL): the k likeliest,
 * the likeliest first, of equal logits the lowest id first. O(vocab_size log k), in place. Any thread. The same bits on
 * every machine. PITH_E_ARGUMENT: `token` is not in 0 .. vocab_size-1, k > vocab_size, or vocab_size is not in 1 ..
 * 2^24. PITH_E_NUMERIC: as for pith_sampler_draw. Nothing is written by a failed call. Not in 0.2.0. */
PITH_NODISCARD PITH_API pith_status pith_logprobs(const float* logits, uint32_t vocab_size, int32_t token,
                                                  float* out_logprob, uint32_t k, pith_logprob* top, pith_error* error);

/* ---- Tokenizer ------------------------------------------------------------------------------------------------ */

/* Text to tokens and back, by the model's metadata: byte-level BPE (tokenizer.ggml.model = "gpt2", and .pre = "gpt-2",
 * "smollm", "llama-bpe", "qwen2", "glm4", "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu" or "kimi-k2"), or
 * SentencePiece's BPE ("llama"). PITH_E_UNSUPPORTED for any other: such a model runs from token ids alone.
 * Text is taken as it is: a program whose texts are not in Unicode's form C brings them there first, for models that
 * were trained so (Qwen 2). */
typedef struct pith_tokenizer pith_tokenizer;

PITH_NODISCARD PITH_API pith_status pith_tokenizer_bytes(const pith_model* model, size_t* out_bytes, pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_tokenizer_init(const pith_model* model, void* memory, size_t memory_bytes,
                                                        pith_tokenizer** out_tokenizer, pith_error* error);

/* Ids of the special tokens, or -1 where the model has none. */
PITH_API int32_t pith_tokenizer_bos(const pith_tokenizer* tokenizer);
PITH_API int32_t pith_tokenizer_eos(const pith_tokenizer* tokenizer);

/* 1 for a token after which nothing comes: the end of a text, of a turn or of a message (tokenizer.ggml.eos_token_id,
 * eot_token_id, eom_token_id), and special tokens that published models end their turns with, such as "<|im_end|>" and
 * "<|eot_id|>". 0 for all others, and for what is no token. */
PITH_API int32_t pith_tokenizer_is_end(const pith_tokenizer* tokenizer, int32_t token);

/* 1 for a special token, which has a name and no text (tokenizer.ggml.token_type 2 and 3); 0 for all others, and for
 * what is no token. */
PITH_API int32_t pith_tokenizer_is_special(const pith_tokenizer* tokenizer, int32_t token);

/* Id of a token by its text, or -1: a special or added token by its name, such as "<|endoftext|>", any other by its
 * bytes, which need not be UTF-8. SentencePiece's blanks are spaces. */
PITH_API int32_t pith_tokenizer_token_id(const pith_tokenizer* tokenizer, const char* text, size_t text_bytes);

/* Work memory that pith_tokenizer_encode needs for a text (any alignment), proportional to text_bytes. */
PITH_API size_t pith_tokenizer_work_bytes(size_t text_bytes);

typedef enum pith_encode_flags {
  PITH_ENCODE_DEFAULT = 0, /* as tokenizer.ggml.add_bos_token says; no token in front where the file has no such key */
  PITH_ENCODE_BOS = 1,     /* the begin-of-text token in front */
  PITH_ENCODE_NO_BOS = 2,  /* none in front, for a text that goes on */
  /* Names of special tokens in the text become these tokens, the longest name first: for templates of the program's
   * own. Without it they are ordinary text, so that no text of a user's makes a special token, but for the unknown
   * one of vocabularies that lack bytes. (Tokens that are added and not special, tokenizer.ggml.token_type 4, are
   * found in any text.) */
  PITH_ENCODE_SPECIALS = 4
} pith_encode_flags;

/* Text to tokens: of byte-level BPE at most text_bytes and one; of SentencePiece there may be more, as it puts a space
 * in front of a text and of what follows a special token (tokenizer.ggml.add_space_prefix). `flags`: pith_encode_flags,
 * added up. Any bytes are accepted: what is not UTF-8 goes in byte by byte. No token is put at the end. O(n log n) in
 * time, no recursion.
 * A vocabulary may lack tokens for bytes that hardly any text has: they become tokenizer.ggml.unknown_token_id, or,
 * without that key, the text is refused: PITH_E_ARGUMENT, *out_count the tokens of the rest.
 * PITH_E_CAPACITY: more than `capacity` tokens; *out_count is the needed capacity and `tokens` holds the first ones.
 * PITH_E_MEMORY: work_bytes is too small. PITH_E_MISSING: PITH_ENCODE_BOS, but the model has no such token. */
PITH_NODISCARD PITH_API pith_status pith_tokenizer_encode(const pith_tokenizer* tokenizer, const char* text,
                                                          size_t text_bytes, uint32_t flags, int32_t* tokens,
                                                          size_t capacity, size_t* out_count, void* work,
                                                          size_t work_bytes, pith_error* error);

/* The bytes of one token: possibly a part of a UTF-8 character. Special tokens have none (0 bytes).
 * PITH_E_ARGUMENT: no such token. */
PITH_NODISCARD PITH_API pith_status pith_tokenizer_decode(const pith_tokenizer* tokenizer, int32_t token,
                                                          const char** out_text, size_t* out_bytes, pith_error* error);

/* The same, but for special tokens their names: what PITH_ENCODE_SPECIALS finds in a text. */
PITH_NODISCARD PITH_API pith_status pith_tokenizer_token_text(const pith_tokenizer* tokenizer, int32_t token,
                                                              const char** out_text, size_t* out_bytes,
                                                              pith_error* error);

/* ---- Chat ----------------------------------------------------------------------------------------------------- */

/* A conversation as tokens, in the format that a model was trained with. Formats are written by hand, by families: a
 * file's own tokenizer.chat_template says which family it is and is never run. docs/chat.md has the families and what
 * each was compared with. In them a message is text: the marks around it become special tokens, and no text of a
 * user's does, whatever it spells.
 *
 *     pith_chat_encode(chat, messages, n, PITH_CHAT_ANSWER, ...)   -> eval, draw until pith_chat_is_end
 *     pith_chat_encode(chat, &question, 1, PITH_CHAT_AFTER_ANSWER | PITH_CHAT_ANSWER, ...)  -> eval, draw, and so on
 *
 * The session keeps the conversation: a turn costs its own tokens alone. Immutable after init: share it freely. */
typedef struct pith_chat pith_chat;

typedef struct pith_chat_options {
  uint32_t struct_size;
  uint32_t reserved;         /* 0 */
  const char* template_name; /* one of pith_chat_template_name; NULL: that of the file's tokenizer.chat_template */
  /* Of today, such as "26 Jul 2024", at most 31 bytes, for the families whose first message tells it (llama3.1); NULL:
   * that one, which is what their published templates say where nobody tells them. */
  const char* date;
} pith_chat_options;

/* Makes *options the defaults: zeros, and struct_size. Pass sizeof *options. */
PITH_API void pith_chat_options_init(pith_chat_options* options, uint32_t struct_size);

/* Names of the templates: "chatml", "llama3", ...; NULL past the end. */
PITH_API const char* pith_chat_template_name(size_t index);

/* `options` NULL: the defaults. The model and the tokenizer, which is this model's, must outlive the chat.
 * PITH_E_MISSING: no template in the file. PITH_E_UNSUPPORTED: one that is of no family that this version knows. Both
 * say which names there are. PITH_E_ARGUMENT: template_name is no such name. */
PITH_NODISCARD PITH_API pith_status pith_chat_bytes(const pith_model* model, const pith_tokenizer* tokenizer,
                                                    const pith_chat_options* options, size_t* out_bytes,
                                                    pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_chat_init(const pith_model* model, const pith_tokenizer* tokenizer,
                                                   const pith_chat_options* options, void* memory, size_t memory_bytes,
                                                   pith_chat** out_chat, pith_error* error);

/* The name of the template that is used; "" for NULL. */
PITH_API const char* pith_chat_template(const pith_chat* chat);

/* 1 if an answer ends with this token: the file's end-of-text, end-of-turn or end-of-message token, or one of the
 * family. It need not be evaluated: PITH_CHAT_AFTER_ANSWER writes the end that the family has. */
PITH_API int32_t pith_chat_is_end(const pith_chat* chat, int32_t token);

/* Texts that end an answer as well, for pith_stream_init: marks of the family that this vocabulary has no token for.
 * NULL past the end; at most PITH_STREAM_MAX_STOPS. */
PITH_API const char* pith_chat_stop(const pith_chat* chat, size_t index);

typedef enum pith_role { PITH_ROLE_SYSTEM = 0, PITH_ROLE_USER = 1, PITH_ROLE_ASSISTANT = 2 } pith_role;

/* One message. This struct has no struct_size, for it comes in arrays, and does not grow. */
typedef struct pith_message {
  uint32_t role;       /* pith_role */
  uint32_t reserved;   /* 0 */
  const char* content; /* UTF-8; NULL if there are no bytes */
  size_t content_bytes;
} pith_message;

typedef enum pith_chat_flags {
  PITH_CHAT_ANSWER = 1, /* what an answer follows comes last: the model is to speak */
  /* The messages go on after an answer of the model that the session holds as it was drawn, without its end: that comes
   * first, then the messages, and nothing that a conversation begins with. */
  PITH_CHAT_AFTER_ANSWER = 2,
  PITH_CHAT_NO_THOUGHT = 4 /* with PITH_CHAT_ANSWER: without thinking first, where the family can say so */
} pith_chat_flags;

/* Work memory that pith_chat_encode needs for the same messages and flags (any alignment), proportional to their text.
 * 0 for arguments that it refuses. */
PITH_API size_t pith_chat_work_bytes(const pith_chat* chat, const pith_message* messages, size_t n_messages,
                                     uint32_t flags);

/* Messages to tokens. `flags`: pith_chat_flags, added up. Without PITH_CHAT_AFTER_ANSWER the conversation begins here:
 * with the begin-of-text token where the template or tokenizer.ggml.add_bos_token has it, and the system message of the
 * file's template where it has one and the first message is not the system's. n_messages = 0 gives these alone: their
 * count, or that with the system's message alone, is n_keep of a session whose system prompt stays for good.
 * Thoughts in earlier answers go as the family has it (up to </think>). A session that goes on keeps them.
 * PITH_E_ARGUMENT: a role that is no pith_role, a message of the system where the family takes none, or a byte that the
 * vocabulary has no token for. PITH_E_CAPACITY: more than `capacity` tokens; *out_count is the needed capacity and
 * `tokens` holds the first ones. PITH_E_MEMORY: work_bytes is too small. */
PITH_NODISCARD PITH_API pith_status pith_chat_encode(const pith_chat* chat, const pith_message* messages,
                                                     size_t n_messages, uint32_t flags, int32_t* tokens,
                                                     size_t capacity, size_t* out_count, void* work, size_t work_bytes,
                                                     pith_error* error);

/* ---- Grammar -------------------------------------------------------------------------------------------------- */

/* Text that has a form: a grammar says which, a matcher follows one text under it and says which tokens may come next.
 *
 *     pith_matcher_mask(matcher, pith_session_logits(session), logits, &error);     [vocab_size] of the program's own
 *     pith_sampler_draw(sampler, logits, &token, &error);
 *     pith_matcher_accept(matcher, token, &error);                 -> end, or pith_session_eval(&token), and so on
 *
 * Masks are exact: a token is left if and only if the text with it can be gone on with to one that fits. They are made
 * on bytes, so that tokens may end within a character. What a grammar cannot hold is refused when it is compiled, never
 * left out. docs/grammar.md has the notations and all limits. Not in 0.2.0. */
typedef struct pith_grammar pith_grammar;

typedef enum pith_grammar_kind {
  PITH_GRAMMAR_GBNF = 0,       /* llama.cpp's notation of rules; the one called "root" is the text */
  PITH_GRAMMAR_JSON_SCHEMA = 1 /* the text is a JSON document that fits a JSON Schema; {} for any */
} pith_grammar_kind;

typedef struct pith_grammar_source {
  uint32_t struct_size;
  uint32_t kind;       /* pith_grammar_kind */
  const char* text;    /* UTF-8; need not outlive the call */
  size_t text_bytes;   /* at most 1 MiB */
  uint32_t max_states; /* room for the compiled grammar, 1,024 .. 2^20, 70 (GBNF) or 86 bytes each; 0: 32,768 */
  uint32_t reserved;   /* 0 */
} pith_grammar_source;

/* Makes *source zeros, and struct_size. Pass sizeof *source. */
PITH_API void pith_grammar_source_init(pith_grammar_source* source, uint32_t struct_size);

/* Compiles a grammar: immutable after init, share it freely. pith_grammar_bytes looks at the sizes and the kind alone.
 * PITH_E_GRAMMAR: it is malformed, or no text fits it. PITH_E_UNSUPPORTED: it has what cannot be held. PITH_E_LIMIT: it
 * needs more states than max_states, or is beyond another limit. All name the line, or the JSON pointer. */
PITH_NODISCARD PITH_API pith_status pith_grammar_bytes(const pith_grammar_source* source, size_t* out_bytes,
                                                       pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_grammar_init(const pith_grammar_source* source, void* memory,
                                                      size_t memory_bytes, pith_grammar** out_grammar,
                                                      pith_error* error);

/* The tokens of a vocabulary in the order of their bytes: made once, for all matchers of a model. Takes some 45 bytes
 * and a microsecond per token. Immutable; the tokenizer, and its model, must outlive it. */
typedef struct pith_token_trie pith_token_trie;

PITH_NODISCARD PITH_API pith_status pith_token_trie_bytes(const pith_tokenizer* tokenizer, size_t* out_bytes,
                                                          pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_token_trie_init(const pith_tokenizer* tokenizer, void* memory,
                                                         size_t memory_bytes, pith_token_trie** out_trie,
                                                         pith_error* error);

/* One text under a grammar. Used by one thread at a time. The grammar and the trie must outlive it. */
typedef struct pith_matcher pith_matcher;

/* Some 2.7 MB, and 2 bytes per token. PITH_E_LIMIT: the grammar may begin in more ways than can be followed at once. */
PITH_NODISCARD PITH_API pith_status pith_matcher_bytes(const pith_grammar* grammar, const pith_token_trie* trie,
                                                       size_t* out_bytes, pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_matcher_init(const pith_grammar* grammar, const pith_token_trie* trie,
                                                      void* memory, size_t memory_bytes, pith_matcher** out_matcher,
                                                      pith_error* error);

/* Back to the beginning of a text. What was learnt about the grammar is forgotten too, so that nothing of one text
 * reaches another. */
PITH_NODISCARD PITH_API pith_status pith_matcher_reset(pith_matcher* matcher, pith_error* error);

/* Makes `to` what `from` is. PITH_E_ARGUMENT: `to` == `from`, or they are not of the same grammar and trie. */
PITH_NODISCARD PITH_API pith_status pith_matcher_copy(pith_matcher* to, const pith_matcher* from, pith_error* error);

/* Copies [vocab_size] logits, and makes those of tokens that may not come next -infinity, which pith_sampler_draw never
 * draws. Tokens that end a text (pith_tokenizer_is_end) are left where the text may end; other special tokens never.
 * `out_logits` may be `logits`. PITH_E_NO_TOKEN: none would be left, as the vocabulary cannot spell what the grammar
 * asks here, or has no token that ends a complete text; pith_matcher_is_done tells of that before. PITH_E_STATE: the
 * text has ended. PITH_E_LIMIT: the text fits the grammar in more ways than can be followed at once. A failure writes
 * nothing. */
PITH_NODISCARD PITH_API pith_status pith_matcher_mask(pith_matcher* matcher, const float* logits, float* out_logits,
                                                      pith_error* error);

/* The text goes on with this token. PITH_E_TOKEN: it does not fit here, and the matcher is as it was. PITH_E_ARGUMENT:
 * not in 0 .. vocab_size-1. PITH_E_STATE, PITH_E_LIMIT: as for pith_matcher_mask. */
PITH_NODISCARD PITH_API pith_status pith_matcher_accept(pith_matcher* matcher, int32_t token, pith_error* error);

/* 1 if the text may end here; 0 otherwise, and for NULL. */
PITH_API int32_t pith_matcher_may_end(const pith_matcher* matcher);

/* 1 if nothing but an end may follow, or the text has ended: stop drawing. 0 otherwise, and for NULL. */
PITH_API int32_t pith_matcher_is_done(const pith_matcher* matcher);

/* ---- Text stream ---------------------------------------------------------------------------------------------- */

/* Turns tokens into text that is safe to show at once: holds back a partial UTF-8 character and whatever may become a
 * stop string. Bytes that never become UTF-8 come out as U+FFFD. A plain struct; copy it freely. */
#define PITH_STREAM_MAX_STOPS 8
#define PITH_STREAM_MAX_STOP_BYTES 64
typedef struct pith_stream {
  uint32_t struct_size;
  uint32_t n_stops;
  uint32_t stop_bytes[PITH_STREAM_MAX_STOPS];
  char stops[PITH_STREAM_MAX_STOPS][PITH_STREAM_MAX_STOP_BYTES];
  uint32_t n_held;  /* bytes in `held` that were not handed out yet */
  uint32_t stopped; /* 1 once a stop string was seen */
  char held[2 * PITH_STREAM_MAX_STOP_BYTES];
} pith_stream;

/* Stop strings: at most PITH_STREAM_MAX_STOPS of 1 .. PITH_STREAM_MAX_STOP_BYTES bytes each, NUL-terminated.
 * Set stream->struct_size before. */
PITH_NODISCARD PITH_API pith_status pith_stream_init(pith_stream* stream, const char* const* stops, size_t n_stops,
                                                     pith_error* error);

/* The capacity that pith_stream_push asks for, for a token text of text_bytes; pith_stream_finish, for 0. */
PITH_API size_t pith_stream_capacity(size_t text_bytes);

/* Takes a token's bytes; writes the bytes to show to `out` and their count to *out_bytes. The text before a stop string
 * is handed out, the stop string is not; stream->stopped is 1 from then on and nothing more comes out.
 * PITH_E_CAPACITY: `capacity` is below pith_stream_capacity(text_bytes), which *out_bytes is; nothing was taken. */
PITH_NODISCARD PITH_API pith_status pith_stream_push(pith_stream* stream, const char* text, size_t text_bytes,
                                                     char* out, size_t capacity, size_t* out_bytes, pith_error* error);

/* Hands out what is still held back, at the end of the text. */
PITH_NODISCARD PITH_API pith_status pith_stream_finish(pith_stream* stream, char* out, size_t capacity,
                                                       size_t* out_bytes, pith_error* error);

/* State: the bytes held back, and whether a stop string was seen, as for pith_session_save. The stop strings are not in
 * it: restore into a stream after its init, with the same ones or others. A refused state changes nothing. */
PITH_API size_t pith_stream_state_bytes(const pith_stream* stream);
PITH_NODISCARD PITH_API pith_status pith_stream_save(const pith_stream* stream, void* state, size_t capacity,
                                                     size_t* out_bytes, pith_error* error);
PITH_NODISCARD PITH_API pith_status pith_stream_restore(pith_stream* stream, const void* state, size_t state_bytes,
                                                        pith_error* error);

/* ---- Experimental ----------------------------------------------------------------------------------------------
 * Outside the promise of docs/abi.md: what stands here may change its meaning or do nothing in any later version. (No
 * symbol and no field goes while the soname stays.) */

/* Nanoseconds spent in attention (cache read to head outputs) since init. Needs pith_session_options.clock, a monotonic
 * clock in nanoseconds that the session then asks twice a layer; 0 without one. */
PITH_API uint64_t pith_session_attention_ns(const pith_session* session);

#ifdef __cplusplus
}
#endif

#endif
