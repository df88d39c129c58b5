/* h5nodes.h — the slots of Python objects, read and filled as memory. */
#ifndef H5BURST_NODES_H
#define H5BURST_NODES_H

#include <Python.h>
#include <structmember.h>

#if defined(__GNUC__)
#define h5_prefetch(address) __builtin_prefetch(address)
#else
#define h5_prefetch(address) ((void)(address))
#endif

/* Where an object of this class keeps the attribute, which must be one of its `__slots__`; -1 with an exception set. */
static Py_ssize_t h5_slot_offset(PyObject *type, const char *name)
{
    Py_ssize_t offset = -1;
    PyObject *descriptor = PyObject_GetAttrString(type, name);
    if (descriptor == NULL)
        return -1;
    if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type) && PyType_Check(type) &&
        PyDescr_TYPE(descriptor) == (PyTypeObject *)type)
        offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%R of %R is not a slot", descriptor, type);
    Py_DECREF(descriptor);
    return offset;
}

/* What is in a slot: a borrowed reference, NULL with an exception set for an empty one. */
static inline PyObject *h5_slot(PyObject *object, Py_ssize_t offset)
{
    PyObject *value = *(PyObject **)((char *)object + offset);
    if (value == NULL)
        PyErr_SetString(PyExc_AttributeError, "a node without one of its attributes");
    return value;
}

/* A new object of a class whose attributes all are slots; none of them is set yet. NULL with an exception set. */
static inline PyObject *h5_new_object(PyObject *type)
{
    return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
}

/* Set a slot of an object made by `h5_new_object`, once. */
static inline void h5_set_slot(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    Py_INCREF(value);
    *(PyObject **)((char *)object + offset) = value;
}

#endif
