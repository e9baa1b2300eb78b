"What is distilled: models of random weights, and rows of random words"
from dataclasses import dataclass

@dataclass(frozen=True)
class Shape:
    teacher:tuple  # layers, width, heads
    student:tuple
    vocab:int
    batch:int      # rows a step
    prompt:int=64  # tokens of a row that do not count
    answer:int=192 # and those that do
    @property
    def tokens(self): return self.batch*(self.prompt+self.answer)

SHAPES = {"A": Shape((12, 256, 4), (4, 128, 4), 4096, 8), "B": Shape((12, 256, 4), (4, 128, 4), 49_152, 8), "c": Shape((32, 960, 15), (30, 576, 9), 49_152, 2)}

def tokenizer(vocab):
    "As many words as asked for; the first is the end"
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    t = Tokenizer(models.WordLevel({"</s>": 0, **{f"w{i}": i for i in range(1, vocab)}}, unk_token="w1")); t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token="</s>", pad_token="</s>", chat_template="{% for m in messages %}{{ m['content'] }} {% endfor %}")

def model(shape, which, dtype="float32"):
    "A Llama of random weights, the same ones each time"
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    layers, width, heads = getattr(shape, which); torch.manual_seed(len(which))
    m = LlamaForCausalLM(LlamaConfig(vocab_size=shape.vocab, hidden_size=width, intermediate_size=width*8//3//8*8, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0))
    m.generation_config.eos_token_id = m.generation_config.pad_token_id = 0
    return m.to(getattr(torch, dtype))

def rows(shape, steps, seed=0):
    "(prompts, answers) of so many steps: lists of token ids"
    import torch
    g = torch.Generator().manual_seed(seed); ids = torch.randint(1, shape.vocab, (steps*shape.batch, shape.prompt+shape.answer), generator=g).tolist()
    return [r[:shape.prompt] for r in ids], [r[shape.prompt:] for r in ids]
