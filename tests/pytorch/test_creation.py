"""Creating and indexing: for every kind of data, number, dtype and argument, what PyTorch makes or which error it raises."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest
from grouped import over
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")

# One expression a line, T is tensor and i is int64. Random ones say their dtype or shape.
EXPRESSIONS = """
T([np.float64(1)])
T([np.float64(1),1])
T([np.float32(1),1.])
T([np.int32(1)])
T([np.int32(1),2])
T([np.int32(1),2.])
T([np.float16(1),2.])
T([T([1.])])
T([T([1.,2.])])
T([T([1.,2.]),T([1.,2.])])
T([T(1.),T(2)])
T([T(1.),2,3.])
T([T(1),2.])
T([T([1.]),T([2])])
T([T([1.]),2])
T([[1,T(2.)],[3,4]])
T([T(1.,dtype=torch.float64),2])
T([T(True),1])
T([np.array([1,2]),np.array([3,4])])
T([np.array([1,2]),[3,4]])
T([np.array([1.,2]),[3,4]])
T([[3,4],np.array([1.,2])])
T([np.array(1.),2])
T([[1,2],(3,4)])
T([[1,2],3])
T([3,[1,2]])
T([[1,2],[3]])
T([[],[]])
T([[1],[]])
T([1,True])
T([True,False])
T([True,1.5])
T([1.5],dtype=i)
T([300],dtype=torch.uint8)
T([-1],dtype=torch.uint8)
T(300,dtype=torch.uint8)
T(2**40,dtype=torch.int32)
T(1e10,dtype=torch.int32)
T(float('nan'),dtype=i)
T([float('nan')],dtype=i)
T([float('inf')],dtype=torch.int32)
T(70000.,dtype=torch.float16)
T([70000.],dtype=torch.float16)
T(1e40)
T([1e40])
T(2**63)
T([2**63])
T([2**70])
T(2**70)
T([-2**63])
T(range(3))
T({1:2})
T({1,2})
T("abc")
T(["a"])
T([["a"]])
T("1")
T(None)
T([None])
T([1,None])
T(object())
T(b"ab")
T(bytearray(b"ab"))
T(np.array(["a"]))
T(np.array([None]))
T(np.array([1.5,2.5]),dtype=i)
T(np.array([-1.5,300]),dtype=torch.uint8)
T(np.float64(1.5))
T(np.int32(3))
T(np.bool_(True))
T(np.float16(1))
T(np.float64(3),dtype=i)
T([1,2],dtype="float32")
T([1,2],dtype=float)
T([1,2],dtype=int)
T([1,2],dtype=bool)
T([1,2],dtype=np.float32)
T([1,2],torch.float32)
T([1,2],requires_grad=True)
T([1.],requires_grad=True).requires_grad
T([1.],requires_grad=1)
T([1.],requires_grad="a")
T([1.],requires_grad=None)
T([1.],device="cpu").device
T([1.],device="cpu:0").device
T([1.],device=None)
T([1.],pin_memory=False)
T([1.],device=torch.device("cpu"))
T(data=[1,2])
T(T([1.,2.]))
T(T([1.,2.]),dtype=i)
T((i for i in range(3)))
T([[[1,2],[3,4]]])
T([torch.Size([1,2])])
T(torch.Size([1,2]))
T([T([[1,2]]),T([[3,4]])])
T([T([1,2]),[3,4]])
T([T([1,2]),[3,4,5]])
T([T([1.,2],requires_grad=True)])
T(1,2)
T()
T([1,2],copy=True)
torch.as_tensor([1,2])
torch.as_tensor([1.,2],dtype=i)
torch.as_tensor(3)
torch.as_tensor(np.float64(3))
torch.as_tensor(np.array([1,2],np.int32))
torch.as_tensor(np.array([1,2]),dtype=torch.float32)
torch.as_tensor(np.array([1,2]),torch.float32)
torch.as_tensor([1,2],torch.float32,torch.device("cpu"))
torch.as_tensor([1,2],device="cpu")
torch.as_tensor(T([1.],requires_grad=True)).requires_grad
torch.as_tensor([T(1.),2])
torch.as_tensor("a")
torch.as_tensor(None)
torch.as_tensor([1,2],dtype=None)
torch.as_tensor([1.],requires_grad=True)
torch.from_numpy([1])
torch.Tensor([1,2])
torch.Tensor(2,3).shape
torch.Tensor(T([1.]))
torch.Tensor(2.)
torch.Tensor("a")
torch.Tensor(None)
torch.LongTensor([1.5])
torch.LongTensor(T([1]))
torch.LongTensor(T([1.]))
torch.FloatTensor(np.array([1.]))

torch.full((2,),3)
torch.full((2,),True)
torch.full((2,),3.)
torch.full((2,),3.,dtype=i)
torch.full((2,),-3.7,dtype=i)
torch.full((2,),300,dtype=torch.uint8)
torch.full((2,),-1,dtype=torch.uint8)
torch.full((2,),-256,dtype=torch.uint8)
torch.full((2,),2**40,dtype=torch.int32)
torch.full((2,),1e10,dtype=torch.int32)
torch.full((2,),70000,dtype=torch.float16)
torch.full((2,),1e40,dtype=torch.float32)
torch.full((2,),1e40)
torch.full((2,),float("inf"),dtype=torch.float16)
torch.full((2,),float("nan"),dtype=torch.bool)
torch.full((2,),float("nan"),dtype=i)
torch.full((2,),2,dtype=torch.bool)
torch.full((2,),T(3.))
torch.full((2,),T(3))
torch.full((2,),T([3]))
torch.full((2,),T([3,4]))
torch.full((2,),T(3.,requires_grad=True))
torch.full((2,),np.float64(3))
torch.full((2,),np.int32(3))
torch.full((2,),np.float32(3))
torch.full((2,),"a")
torch.full((2,),None)
torch.full(2,3)
torch.full([2],3)
torch.full(T(2),3)
torch.full(T([2,2]),3)
torch.full((T(2),),3)
torch.full((2.,),3)
torch.full((-1,),3)
torch.full((),3)
torch.full([],3.)
torch.full((2,),3,requires_grad=True)
torch.full((2,),3.,requires_grad=True).requires_grad
torch.full((2,),3,layout=torch.strided)
torch.full((2,),3,pin_memory=False)
torch.full(size=(2,),fill_value=3)
torch.full((2,),2**63)
torch.full((2,),2**63-1)

torch.zeros(2,3,dtype=i)
torch.zeros()
torch.zeros(())
torch.zeros(2.)
torch.zeros("a")
torch.zeros(None)
torch.zeros(2,device=None,layout=torch.strided,pin_memory=False)
torch.zeros(T(2))
torch.zeros(T([2,3]))
torch.zeros((2,T(3)))
torch.zeros(2,True)
torch.zeros([2,3])
torch.zeros((2,),(3,))
torch.zeros(np.int64(2))
torch.zeros(np.array([2,3]))
torch.zeros(size=(2,))
torch.zeros(2,dtype=float)
torch.zeros(2,dtype=int)
torch.zeros(2,dtype="int")
torch.zeros(2**63)

torch.ones(2,requires_grad=True)
torch.ones(2,dtype=i,requires_grad=True)

torch.empty(2,memory_format=torch.contiguous_format).shape
torch.empty((2,0))

torch.eye(3)
torch.eye(2,3)
torch.eye(2,3,dtype=i)
torch.eye(2,dtype=torch.bool)
torch.eye(2,dtype=torch.float16)
torch.eye(0)
torch.eye(-1)
torch.eye(2,-1)
torch.eye(2.)
torch.eye(2,2.)
torch.eye(T(2))
torch.eye(True)
torch.eye("a")
torch.eye((2,3))
torch.eye(2,requires_grad=True).requires_grad
torch.eye(n=2,m=3)
torch.eye(2,layout=torch.strided,pin_memory=False)

torch.linspace(0,1,5)
torch.linspace(0,10,4,dtype=i)
torch.linspace(-10,10,4,dtype=i)
torch.linspace(-3,3,3,dtype=torch.uint8)
torch.linspace(0.9,5.9,4,dtype=i)
torch.linspace(0,1,1)
torch.linspace(0,1,0)
torch.linspace(0,1,-1)
torch.linspace(0,1,2.)
torch.linspace(0,1,True)
torch.linspace(0,1,T(3))
torch.linspace(0,1)
torch.linspace(0,1,steps=None)
torch.linspace(T(0.),T(1.),3)
torch.linspace(T(0),1,3)
torch.linspace(T([0.]),1,3)
torch.linspace(0,T([1.]),3)
torch.linspace(T(0.,dtype=torch.float64),T(1.,dtype=torch.float64),3)
torch.linspace(T(0.1,dtype=torch.float64),1,3,dtype=torch.float64)
torch.linspace(T(0.,requires_grad=True),1,3)
torch.linspace(0,1,3,dtype=torch.bool)
torch.linspace(0,1,3,dtype=torch.float16)
torch.linspace(0,70000,3,dtype=torch.float16)
torch.linspace(0,300,3,dtype=torch.uint8)
torch.linspace(0,float("nan"),3)
torch.linspace(0,float("inf"),3)
torch.linspace(0,float("inf"),3,dtype=i)
torch.linspace("a",1,3)
torch.linspace(None,1,3)
torch.linspace(True,3,3)
torch.linspace(0,1,3,requires_grad=True).requires_grad
torch.linspace(0,1,3,dtype=i,requires_grad=True)
torch.linspace(start=0,end=1,steps=3)
torch.linspace(0,1,3,layout=torch.strided,pin_memory=False)
torch.linspace(np.float64(0),np.int64(1),3)
torch.linspace(0,1,np.int64(3))

torch.arange(5)
torch.arange(5.)
torch.arange(1,5)
torch.arange(1,5,2)
torch.arange(0.,5.,1.5,dtype=i)
torch.arange(0.,5.,1.5,dtype=torch.int32)
torch.arange(0.,5.,1.5,dtype=torch.uint8)
torch.arange(0.,5.,1.5)
torch.arange(0.5,5.9,dtype=i)
torch.arange(5,0,-1)
torch.arange(5,0)
torch.arange(0,5,0)
torch.arange(0,5,0.5,dtype=i)
torch.arange(0,5,0.5,dtype=torch.int32)
torch.arange(0,5,float("nan"))
torch.arange(0,float("inf"))
torch.arange(0,float("nan"))
torch.arange(True)
torch.arange(True,3)
torch.arange(3,dtype=torch.bool)
torch.arange(3,dtype=torch.float16)
torch.arange(0,1,0.1)
torch.arange(0,1,0.1,dtype=torch.float64)
torch.arange(0,1,0.1,dtype=torch.float16)
torch.arange(T(3))
torch.arange(T(3.))
torch.arange(T([3]))
torch.arange(T([3,4]))
torch.arange(0,T(3.),T(0.5))
torch.arange("a")
torch.arange(None)
torch.arange(0,None)
torch.arange(0,3,None)
torch.arange(np.int64(3))
torch.arange(np.float32(3))
torch.arange(np.float64(3))
torch.arange(2**62,2**62+2)
torch.arange(2**63)
torch.arange(-3)
torch.arange(0)
torch.arange(end=3)
torch.arange(start=1,end=3)
torch.arange(start=1,end=3,step=1)
torch.arange(1,end=3)
torch.arange(5,step=2)
torch.arange(end=5,step=2)
torch.arange()
torch.arange(3,requires_grad=True)
torch.arange(3.,requires_grad=True).requires_grad
torch.arange(3,layout=torch.strided,pin_memory=False)
torch.arange(0,10,3,dtype=torch.float32)
torch.arange(-1.5,2.7,0.3)

torch.arange(300,dtype=torch.uint8)[-1]
torch.ones(4)[[[0,1],[3,2]]]
torch.arange(12).view(4,3)[[[0,1],[3,2]]]
torch.arange(4)[[0,[1]]]
torch.arange(12).view(4,3)[[0,1],[1,2]]
torch.arange(4)[[T(0),1]]
torch.arange(4)[[True,False,True,True]]
torch.arange(4)[[[True,False,True,True]]]
torch.arange(4)[[]]
torch.arange(4)[np.array([0,1])]
torch.arange(4)[np.array([True,False,True,True])]
torch.arange(4)[[np.int64(1),2]]
torch.arange(4)[[T([0,1]),T([2,3])]]
torch.arange(12).view(4,3)[[T([0,1]),T([2,1])]]
torch.arange(12).view(4,3)[[slice(0,2),1]]
torch.arange(12).view(4,3)[[[0,1]]]
torch.arange(4)[1.5]
torch.arange(4)["a"]
torch.arange(4)[range(2)]
torch.arange(4)[[range(2)]]
torch.arange(4)[np.int32(1)]
torch.arange(4)[np.float32(1)]
torch.arange(4)[np.bool_(True)]
torch.arange(4)[True]
torch.arange(4)[T(True)]
torch.arange(4)[T([0],dtype=torch.uint8)]
torch.arange(4)[T([0,1],dtype=torch.int32)]
torch.arange(4)[T([0.])]
torch.arange(4)[np.array([0,1],np.uint8)]
torch.arange(4)[np.array([0,1],np.int16)]

torch.zeros_like(T([1.,2.]),dtype=i)
torch.zeros_like(T([1.,2.]),requires_grad=True).requires_grad
torch.zeros_like(T([1.,2.]),device="cpu",layout=torch.strided,pin_memory=False,memory_format=torch.preserve_format)
torch.zeros_like(T([1.,2.]),memory_format=torch.contiguous_format)
torch.zeros_like([1.,2.])
torch.zeros_like(T([1,2]),requires_grad=True)
torch.ones_like(T([1,2]),dtype=torch.float32,requires_grad=True).requires_grad
torch.full_like(T([1,2]),2.5)
torch.full_like(T([1,2]),2.5,dtype=torch.float32)
torch.full_like(T([1,2]),float("nan"))
torch.full_like(T([1.,2]),"a")
torch.full_like(T([1.,2]),T(2.))
torch.full_like(T([1.,2]),T([2.]))
torch.full_like(T([1.,2]),2.,requires_grad=True).requires_grad
torch.empty_like(T([1.,2]),requires_grad=True).requires_grad
torch.rand_like(T([1.,2]),requires_grad=True).requires_grad
torch.rand_like(T([1.,2]),dtype=torch.float64,memory_format=torch.preserve_format).dtype
torch.rand_like(T([1,2]))
torch.randn_like(T([1,2]))
torch.randn_like(T([1.,2]),layout=torch.strided,device="cpu",pin_memory=False).shape

torch.rand(2,dtype=i)
torch.randn(2,dtype=i)
torch.rand(2,requires_grad=True,layout=torch.strided,pin_memory=False).requires_grad
torch.randn(2,requires_grad=True,layout=torch.strided,pin_memory=False).requires_grad
torch.randint(3,(2,),requires_grad=True)
torch.randint(3,(2,),dtype=torch.float32,requires_grad=True).requires_grad
torch.randint(3,(2,),layout=torch.strided,pin_memory=False,device="cpu").dtype
torch.randint(3,(2,),dtype=torch.float16).dtype
torch.randint(3,(2,),dtype=torch.bool)
torch.randint(2,(2,),dtype=torch.bool).dtype
torch.randint(300,(2,),dtype=torch.uint8)
torch.randint(256,(2,),dtype=torch.uint8).dtype
torch.randint(-1,3,(2,),dtype=torch.uint8)
torch.randint(2**33,(2,),dtype=torch.int32)
torch.randint(3.5,(2,))
torch.randint(0,3.,(2,))
torch.randint(3,2)
torch.randint(3,(2,),high=5)
torch.randint(low=0,high=5,size=(2,)).dtype
torch.randint(high=5,size=(2,)).dtype
torch.randint(5,size=(2,)).dtype
torch.randint(5,5,(2,))
torch.randint(0,(2,))
torch.randint(-5,(2,))
torch.randint("a",(2,))
torch.randint(T(3),(2,)).dtype
torch.randint(3,(-2,))
torch.randperm(3,requires_grad=True)
torch.randperm(3,dtype=torch.float32,requires_grad=True).requires_grad
torch.randperm(3,layout=torch.strided,pin_memory=False,device="cpu").dtype
torch.randperm(-1)
torch.randperm(3.)
torch.randperm(True)
torch.randperm(300,dtype=torch.uint8)
torch.randperm(3,dtype=torch.bool)
torch.randperm(3000,dtype=torch.float16)
torch.randperm("a")
torch.randperm(None)
torch.normal(0.,1.,(2,)).dtype
torch.normal(0,1,(2,)).dtype
torch.normal(0.,1.,(2,),dtype=torch.float64).dtype
torch.normal(0.,1.,(2,),dtype=i).dtype
torch.normal(0.,1.,(2,),requires_grad=True).requires_grad
torch.normal(0.,-1.,(2,))
torch.normal(0.,float("nan"),(2,)).shape
torch.normal(0.,1.)
torch.normal(T([0.,1.]),1.).shape
torch.normal(T([0.,1.])).shape
torch.normal(T([0,1]),1.)
torch.normal(T([0.,1.]),T([1,1])).dtype
torch.normal(T([0.,1.]),T([1.,-1]))
torch.normal(T([0.,1.]),T([1.,1.,1.]))
torch.normal(T([0.,1.]),T([[1.],[1.]])).shape
torch.normal(0.,T([1.,1.],dtype=torch.float64)).dtype
torch.normal(T([0.,1.],dtype=torch.float64),T([1.,1.])).dtype
torch.normal(T([0.,1.],requires_grad=True),1.).requires_grad
torch.normal(1.,T([0,1]))
torch.normal("a",1.,(2,))
torch.normal(T([0.]),1.,(2,))
torch.bernoulli(T([.5],requires_grad=True)).requires_grad
torch.bernoulli(T([.5])).requires_grad
torch.bernoulli(T([1,0]))
torch.bernoulli(T([1.5]))
torch.bernoulli(T([float("nan")]))
torch.bernoulli(.5)
torch.bernoulli(T([True]))
torch.multinomial(T([1.,2.]),1,requires_grad=True)
torch.multinomial(T([1.,2.]),True)
torch.multinomial(T([1.,2.]),1.)
torch.multinomial(T([1.,2.]),0)
torch.multinomial(T([1.,2.]),-1)
torch.multinomial(T([1,2]),1)
torch.multinomial(T(1.),1)
torch.multinomial(T([1.,-2.]),1)
torch.multinomial(T([0.,0.]),1)
torch.multinomial(T([1.,2.]),3)
torch.multinomial(T([1.,2.]),3,True).shape
torch.multinomial(T([1.,2.]),3,"yes").shape
torch.multinomial(T([1.,2.]),3,1).shape
torch.multinomial(torch.zeros(0),1)
torch.multinomial(torch.zeros(0,3),1).shape
torch.multinomial(torch.zeros(2,0),1).shape
torch.multinomial(T([1.,float("inf")]),1)
torch.multinomial(T([1.,2.],requires_grad=True),1).requires_grad
T([1.]).normal_(0,-1)
T([1.]).normal_(0,float("nan")).shape
T([1.]).uniform_(3,-1)
T([1.]).uniform_(0,float("inf"))
T([1.]).uniform_(0,float("nan"))
T([1.]).exponential_(0)
T([1.]).exponential_(-1)
T([1.]).exponential_(float("nan"))
T([1]).normal_()
T([1]).uniform_()
T([1]).exponential_()
T([1.],requires_grad=True).normal_()
T([1.]).normal_("a")

T([1.,2.]).new_zeros(2,dtype=i)
T([1.,2.]).new_zeros((2,),device="cpu",requires_grad=True).requires_grad
T([1.,2.]).new_zeros(2,3).shape
T([1.,2.]).new_zeros(size=(2,3)).shape
T([1.,2.]).new_zeros(2,layout=torch.strided,pin_memory=False)
T([1.,2.]).new_zeros(-1)
T([1.,2.]).new_zeros("a")
T([1.,2.]).new_zeros(2.)
T([1,2]).new_zeros(2,requires_grad=True)
T([1.,2.]).new_ones(2,dtype=torch.bool)
T([1.,2.]).new_ones((2,),dtype=None,device=None,requires_grad=False)
T([1.,2.]).new_ones(size=(2,),layout=torch.strided,pin_memory=False)
T([1.,2.]).new_full((2,),3)
T([1,2]).new_full((2,),3.7)
T([1,2]).new_full((2,),float("nan"))
T([1,2]).new_full((2,),3.7,dtype=torch.float32,requires_grad=True,device="cpu").requires_grad
T([1,2]).new_full(size=(2,),fill_value=3)
T([1,2]).new_full(2,3)
T([1,2]).new_full((2,),T(3.5))
T([1,2]).new_full((2,),T([3.5]))
T([1,2]).new_full((2,),"a")
T([1,2]).new_full((2,),3,layout=torch.strided,pin_memory=False)
T([1.,2]).new_empty(2,dtype=i,device="cpu").shape
T([1.,2]).new_empty((2,),requires_grad=True,layout=torch.strided,pin_memory=False).requires_grad

torch.ones(2,1,3).squeeze(()).shape
torch.squeeze(torch.ones(2,1,3),()).shape
torch.ones(2,1,3).squeeze([]).shape
torch.ones(1,1).squeeze((0,1)).shape
torch.ones(1,2).squeeze((0,1)).shape
torch.ones(1,2).squeeze((0,0)).shape
torch.ones(1,2).squeeze((0,5)).shape
T(1.).squeeze(()).shape
torch.any(T([1,0],dtype=torch.uint8))
torch.all(T([1,0],dtype=torch.uint8))
torch.any(T([1,0],dtype=torch.uint8),0)
torch.all(T([1,0],dtype=torch.uint8),dim=0)
torch.all(T([1,0],dtype=torch.int32))
torch.any(T([1.,0]))
torch.any(T([[1.,0]]),dim=(0,1))
torch.all(T([[1,0]],dtype=torch.uint8),dim=(0,1))
torch.all(T([[1,0]],dtype=torch.uint8),dim=())
torch.any(T(3,dtype=torch.uint8))
torch.einsum("ij->i",torch.ones(2,3,dtype=torch.uint8)).dtype
torch.einsum("ij->i",torch.ones(2,3,dtype=torch.int32)).dtype
torch.einsum("ij,jk->ik",torch.ones(2,3,dtype=torch.int32),torch.ones(3,2,dtype=torch.int32)).dtype
torch.einsum("ij,jk->ik",torch.ones(2,3,dtype=torch.uint8),torch.ones(3,2,dtype=torch.uint8)).dtype
torch.einsum("i,i->",torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=torch.int32)).dtype
torch.einsum("i,j->ij",torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=torch.int32)).dtype
torch.einsum("i,j->ij",torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=i)).dtype
torch.einsum("i,i->",torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=i)).dtype
torch.einsum("i,i->",torch.ones(3),torch.ones(3,dtype=i)).dtype
torch.einsum("i,j->ij",torch.ones(3),torch.ones(3,dtype=i)).dtype
torch.einsum("ij->i",torch.ones(2,3,dtype=torch.bool)).dtype
torch.einsum("ij->ji",torch.ones(2,3,dtype=torch.int32)).dtype
torch.einsum("ij->",torch.ones(2,3,dtype=torch.int32)).dtype
torch.einsum("i,i->",torch.ones(3,dtype=torch.bool),torch.ones(3,dtype=torch.bool)).dtype
torch.einsum("i,j->ij",torch.ones(3,dtype=torch.bool),torch.ones(3,dtype=torch.bool)).dtype
torch.einsum("i,i,i->",torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=torch.int32),torch.ones(3,dtype=torch.int32)).dtype
torch.narrow(torch.ones(3),0,True,1)
torch.narrow(torch.ones(3),True,0,1)
torch.narrow(torch.ones(3),0,0,True)
torch.narrow(torch.ones(3),0,T(1),1)
torch.narrow(torch.ones(3),0,T(1.),1)
torch.narrow(torch.ones(3),0,1.,1)
"""


def outcome(t: Any, expression: str) -> Any:
    """The value with its dtype, or the class of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if t is torch else "error")
        try:
            value = eval(expression, {"torch": t, "T": t.tensor, "i": t.int64, "np": np})
        except Exception as error:
            return type(error).__name__
    dtype = str(value.dtype).partition(".")[2] if isinstance(value, t.Tensor) else type(value).__name__
    return dtype, str(value).replace("tinytensor", "torch")


@over("expression", {line: line for line in EXPRESSIONS.splitlines() if line})
def test_as_pytorch(expression: str) -> None:
    assert outcome(tt, expression) == outcome(torch, expression)


def outside(expression: str) -> str:
    """The message of a refusal that says that it is one of the subset."""
    with pytest.raises((NotImplementedError, TypeError), match="subset") as refusal:
        eval(expression, {"torch": tt, "T": tt.tensor, "np": np})
    return str(refusal.value)


def test_what_lies_outside_of_the_subset_says_so() -> None:
    assert "1j" in outside("T([1j])")
    assert "int8" in outside("T(np.array([1], np.int8))")
    assert "out=" in outside("torch.zeros(2, out=torch.ones(2))")
    assert "pin_memory=True" in outside("torch.zeros(2, pin_memory=True)")


NUMBERS = st.one_of(
    st.integers(-20, 20),
    st.floats(-20, 20).map(lambda x: round(x, 2)),
    st.floats(-20, 20),
    st.sampled_from([True, 0.0, 255, 300, -1, 1e5, 70000.0, 2**31, math.inf, -math.inf, math.nan]),
)
DTYPES = st.sampled_from([None, "float64", "float32", "float16", "int64", "int32", "uint8", "bool"])


def same_range(name: str, args: tuple[Any, ...], dtype: str | None, rounding: float) -> None:
    """The same numbers, dtype and errors; floats may differ by this many rounding units of the largest one."""
    found = []
    for t in (torch, tt):
        try:
            made = getattr(t, name)(*args, **({} if dtype is None else {"dtype": getattr(t, dtype)}))
            found.append(made.numpy())
        except Exception as error:
            found.append(type(error))
    theirs, ours = found
    if isinstance(theirs, type) or isinstance(ours, type):
        assert ours is theirs, (args, ours, theirs)
        return
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if ours.dtype.kind != "f":
        assert ours.tolist() == theirs.tolist()
        return
    finite = np.isfinite(theirs)
    top = np.abs(theirs[finite].astype(float)).max(initial=0)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite])
    off = np.abs(ours[finite].astype(float) - theirs[finite].astype(float)).max(initial=0)
    assert off <= rounding * np.finfo(ours.dtype).eps * top


@cases(1000)
@given(NUMBERS, NUMBERS, NUMBERS.filter(lambda x: not 0 < abs(x) < 0.01), DTYPES)
def test_arange_counts_as_pytorch(start: float, end: float, step: float, dtype: str | None) -> None:
    top = 6e4 if dtype == "float16" else 2e5  # float16 ends at 65,504: which is the first ∞ is a matter of rounding
    if not math.isfinite(end - start) or max(abs(start), abs(end)) < top:
        same_range("arange", (start, end, step), dtype, 1)  # PyTorch adds a step to a rounded sum here and there


@cases(1000)
@given(NUMBERS, NUMBERS, st.integers(2, 40), DTYPES)
def test_linspace_counts_as_pytorch(start: float, end: float, steps: int, dtype: str | None) -> None:
    same_range("linspace", (start, end, steps), dtype, 1)


@cases(500)
@given(NUMBERS | st.integers(-(2**40), 2**40), DTYPES)
def test_full_holds_what_pytorch_converts(number: float, dtype: str | None) -> None:
    same_range("full", ((2,), number), dtype, 0)


@cases(300)
@given(
    st.recursive(NUMBERS.filter(math.isfinite), lambda x: st.lists(x, min_size=1, max_size=3), max_leaves=6),
    DTYPES,
    st.data(),
)
def test_tensor_takes_lists_as_pytorch(data: Any, dtype: str | None, draw: st.DataObject) -> None:
    """Some numbers come as NumPy's or as Tensors. No list is empty: [[], [1]] loses its 1 in PyTorch."""
    kinds = [lambda t, x: x, lambda t, x: np.float64(x), lambda t, x: t.tensor(x), lambda t, x: np.int32(int(x) % 99)]
    chosen: list[int] = []

    def made(t: Any, x: Any, chosen: Any) -> Any:
        return [made(t, y, chosen) for y in x] if isinstance(x, list) else kinds[next(chosen)](t, x)

    def count(x: Any) -> int:
        return sum(map(count, x)) if isinstance(x, list) else 1

    chosen = [draw.draw(st.sampled_from([0, 0, 1, 2, 3])) for _ in range(count(data))]
    found = []
    for t in (torch, tt):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if t is torch else "error")  # PyTorch warns of a Tensor as data
                y = t.tensor(made(t, data, iter(chosen)), **({} if dtype is None else {"dtype": getattr(t, dtype)}))
            found.append((str(y.dtype).partition(".")[2], tuple(y.shape), str(y.tolist())))
        except Exception as error:
            found.append(type(error))
    refused = [isinstance(x, type) for x in found]  # of lists that are wrong in two ways, either may be seen first
    assert found[0] == found[1] or all(refused)


def test_words_for_layouts_are_kept_by_copies() -> None:
    for name in ("strided", "contiguous_format", "preserve_format"):
        word = getattr(tt, name)
        assert copy.deepcopy(word) is word
        assert repr(word) == f"tinytensor.{name}"
    assert isinstance(tt.strided, tt.layout)
    assert isinstance(tt.contiguous_format, tt.memory_format)


def narrow_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy returns 32-bit positions and counts, as it does where a pointer has 32 bits.

    It stands in for the functions by name: it cannot show what a method of an array, or an operator, returns there.
    """
    names = ["argmax", "argmin", "argsort", "nonzero", "flatnonzero", "bincount", "unique"]
    for name in [*names, "arange", "argpartition", "lexsort", "count_nonzero", "argwhere"]:
        monkeypatch.setattr(np, name, narrowed(getattr(np, name)))


def narrowed(function: Any) -> Any:
    def narrow(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(narrow, x))
        return x.astype(np.int32) if getattr(x, "dtype", None) == np.int64 else x

    def call(*args: Any, **kwargs: Any) -> Any:
        given = any(getattr(x, "dtype", None) == np.int64 for x in args)  # these keep their dtype on every machine
        asked = np.int64 in (*args[1:], kwargs.get("dtype"))
        y = function(*args, **kwargs)
        counts = function.__name__ in ("argmax", "argmin", "argsort", "nonzero", "bincount")
        return narrow(y) if counts or not (given or asked) else y

    return call


POSITIONS = """
x.argmax() | x.argmax(1) | x.argmin(0, keepdim=True) | x.max(1).indices | x.min(0).indices | x.sort().indices
x.sort(descending=True).indices | x.argsort() | x.topk(2).indices | x.topk(2, largest=False).indices | x.nonzero()
x.nonzero(as_tuple=True)[0] | ids.bincount() | ids.unique()
t.multinomial(x, 2) | t.multinomial(x, 2, True) | t.arange(4) | t.arange(0, 9, 2) | t.randperm(4) | t.randint(4, (2,))
t.tensor([1, 2]) | t.tensor(3) | t.full((2,), 3) | ids.cumsum(0) | ids.sum() | (x > 0).sum() | ids.prod() | F.one_hot(ids)
ids.to(t.int32).sum() | ids.to(t.int32).cumsum(0) | t.ones(3, dtype=t.bool).cumsum(0) | x.long()
""".replace("\n", "|")


@pytest.mark.parametrize("expression", [e.strip() for e in POSITIONS.split("|") if e.strip()])
def test_positions_and_counts_have_64_bits_everywhere(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, ids = tt.tensor([[0.5, 2.0, 1.0], [3.0, 0.25, 1.5]]), tt.tensor([0, 2, 1, 1])
    scope = {"t": tt, "x": x, "ids": ids, "F": tt.nn.functional}
    plain = eval(expression, scope)
    narrow_indices(monkeypatch)
    y = eval(expression, scope)
    assert y.dtype is tt.int64
    assert "rand" in expression or "multinomial" in expression or tt.equal(y, plain)
